"""A release to take home: files, pseudonyms, key and certificate."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from releases import expected, folder, made

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.folder import Folder
from reidbench.cohorts.sources.plain_folder import PlainFolder
from reidbench.errors import ReidbenchError
from reidbench.records.store import read_record, write_record
from reidbench.studies import release as module
from reidbench.studies.release_key import files_digest, read_key

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"


def test_a_thousand_images_are_read_back_byte_by_byte(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward", patients=250, images=4)
    certificate = made(tmp_path, dataset)
    key = read_key(tmp_path / "out.key.json")
    wanted = expected(tmp_path, dataset, "gaussian_noise:sigma=0.1", key.seed)
    assert certificate["images"] == len(key.images) == len(wanted) == 1000
    for name, (image, _, _) in key.images.items():
        with Image.open(tmp_path / "out" / "images" / f"{name}.png") as file:
            assert file.mode == "L"
            assert file.info == {}
            np.testing.assert_array_equal(np.asarray(file), wanted[image])


def test_what_is_given_away_names_nobody(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward")
    made(tmp_path, dataset, patients=True, keep=("sex", "labels"))
    out = tmp_path / "out"
    given = [path for path in out.rglob("*") if path.is_file()]
    assert len(given) == 12 + 2
    for path in given:
        content = path.read_bytes()
        assert b"ward-" not in content
        assert b"name-" not in content
        assert not {"ward", "name"} & set(path.relative_to(out).as_posix().replace("-", "/").split("/"))
    manifest = pd.read_csv(out / "manifest.csv")
    assert list(manifest.columns) == ["path", "patient_id", "sex", "Mass"]
    assert sorted(manifest["path"]) == list(manifest["path"])
    assert manifest.groupby("patient_id").size().tolist() == [2] * 6
    key = read_key(tmp_path / "out.key.json")
    assert stat.S_IMODE((tmp_path / "out.key.json").stat().st_mode) == 0o600
    truth = {f"images/{name}.png": patient for name, (_, patient, _) in key.images.items()}
    assert manifest["path"].map(truth).groupby(manifest["patient_id"]).nunique().tolist() == [1] * 6
    assert len({path.stat().st_mtime for path in (out / "images").iterdir()}) == 1
    assert f"{key.seed:x}" not in (out / "certificate.json").read_text()


def test_two_releases_have_nothing_in_common(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward")
    made(tmp_path, dataset)
    made(tmp_path, dataset, out=tmp_path / "b", key_path=tmp_path / "b.json")
    one, other = read_key(tmp_path / "out.key.json"), read_key(tmp_path / "b.json")
    assert one.seed != other.seed
    assert not one.images.keys() & other.images.keys()
    files = [{path.read_bytes() for path in (tmp_path / name / "images").iterdir()} for name in ("out", "b")]
    assert not files[0] & files[1]


def test_a_killed_release_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = folder(tmp_path / "ward")
    write, calls = module.write_file, []

    def failing(path: Path, *args: Any, **options: Any) -> Path:
        calls.append(path)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return write(path, *args, **options)

    monkeypatch.setattr(module, "write_file", failing)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, dataset)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out" / "images").iterdir()}
    assert len(before) == 5
    # What a process that was killed while it wrote leaves behind.
    (tmp_path / "out" / "images" / ".reidbench-0123456789abcdef.tmp").write_bytes(b"half an image")
    monkeypatch.setattr(module, "write_file", write)
    with pytest.raises(ReidbenchError, match=r"this key is of another release \(patients is False, not True\)"):
        made(tmp_path, dataset, patients=True)
    made(tmp_path, dataset)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out" / "images").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 12
    key = read_key(tmp_path / "out.key.json")
    wanted = expected(tmp_path, dataset, "gaussian_noise:sigma=0.1", key.seed)
    for name, (image, _, _) in key.images.items():
        np.testing.assert_array_equal(decode(tmp_path / "out" / "images" / f"{name}.png", "x", 16), wanted[image])


def test_releases_that_are_refused(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward")
    with pytest.raises(ReidbenchError, match="must not lie in the folder that is given away"):
        made(tmp_path, dataset, key_path=tmp_path / "out" / "key.json")
    with pytest.raises(ReidbenchError, match="--keep age_: known are split, sex"):
        made(tmp_path, dataset, keep=("age_",))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(ReidbenchError, match="is not a key to continue with"):
        made(tmp_path, dataset)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ReidbenchError, match="not the private key of a release"):
        made(tmp_path, dataset, key_path=tmp_path / "x.json")
    with pytest.raises(ReidbenchError, match="publishes no images"):
        made(tmp_path, dataset, "dp_training")
    with pytest.raises(ReidbenchError, match="needs at least 50 patients"):
        made(tmp_path, dataset, "k_same_pixel:k=50", out=tmp_path / "k", key_path=tmp_path / "k.json")
    assert not (tmp_path / "k").exists()
    assert not (tmp_path / "k.json").exists()
    with pytest.raises(ReidbenchError, match=r"x\.json.*cannot write the key"):
        made(tmp_path, dataset, out=tmp_path / "y", key_path=tmp_path / "x.json" / "y.json")


def test_a_release_into_a_folder_whose_every_image_is_an_original_is_refused(tmp_path: Path) -> None:
    for patient in ("a", "b", "c", "d"):
        folder(tmp_path / "wards" / patient, patients=2)
    dataset = PlainFolder(root=tmp_path / "wards", val_share=0)
    for out in (tmp_path / "wards", tmp_path / "wards" / "given"):
        with pytest.raises(ReidbenchError, match="released images would count as originals"):
            made(tmp_path, dataset, out=out)
    assert made(tmp_path, dataset)["images"] == 16
    # A table names what it takes for an image.
    assert made(tmp_path, folder(tmp_path / "ward"), out=tmp_path / "ward" / "given", key_path=tmp_path / "k.json")


def test_a_release_into_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reidbench.cli import main

    folder(tmp_path / "ward")
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    command = ["release", "--defense", "gaussian_blur", "--dataset", "folder", "--root", "../ward", "--size", "16"]
    monkeypatch.setattr(sys, "argv", ["reidbench", *command, "--out", "."])
    monkeypatch.setenv("REIDBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert len(list((tmp_path / "given" / "images").iterdir())) == 12
    assert read_key(tmp_path / "given.key.json")


def test_a_defense_that_needs_the_whole_set(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward", patients=8)
    made(tmp_path, dataset, "k_same_pixel:k=2")
    key = read_key(tmp_path / "out.key.json")
    wanted = expected(tmp_path, dataset, "k_same_pixel:k=2", key.seed)
    for name, (image, _, _) in key.images.items():
        np.testing.assert_array_equal(decode(tmp_path / "out" / "images" / f"{name}.png", "x", 16), wanted[image])


def test_dicom_shows_the_same_pixels_and_no_one(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("dicomanonymizer")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    root = tmp_path / "ward"
    root.mkdir()
    rng = np.random.default_rng(0)
    secrets = ("MEIER^ANNA", "SANKT ELSEWHERE", "19610203", "secret-4711", "Dr. Who", "20240506", "bone marrow of Anna")
    for number in range(4):
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
        header.StudyInstanceUID = generate_uid()
        header.PatientName, header.InstitutionName, header.PatientBirthDate = secrets[:3]
        header.PatientID, header.ReferringPhysicianName, header.StudyDate = secrets[3:6]
        header.StudyDescription = header.ImageComments = secrets[6]
        header.Modality, header.BodyPartExamined, header.ViewPosition = "DX", "CHEST", "PA"
        header.WindowCenter, header.WindowWidth, header.PixelSpacing = 9, 9, [0.143, 0.143]
        header.private_block(0x0011, "ELSEWHERE", create=True).add_new(1, "LO", secrets[0])
        # An even group, so not private, and in no dictionary.
        header.add_new(0x00109998, "LO", secrets[0])
        inner = Dataset()
        inner.PatientName = inner.RequestedProcedureDescription = secrets[0]
        header.RequestAttributesSequence = header.ReferencedImageSequence = [inner]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows = header.Columns = 16
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
        header.PixelData = rng.integers(0, 20, (16, 16)).astype(np.uint16).tobytes()
        header["PixelData"].VR = "OW"
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.save_as(root / f"{number}.dcm", enforce_file_format=True)
    dataset = Folder(root=root)
    certificate = made(tmp_path, dataset, "pixelate", form="dicom", patients=True)
    assert "PS3.15" in certificate["header"]
    key = read_key(tmp_path / "out.key.json")
    wanted = expected(tmp_path, dataset, "pixelate", key.seed)
    uids = set()
    for name, (image, _, alias) in key.images.items():
        path = tmp_path / "out" / "images" / f"{name}.dcm"
        np.testing.assert_array_equal(decode(path, "x", 16), wanted[image])
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, secret
        header = pydicom.dcmread(path)
        assert (header.Modality, header.BodyPartExamined, header.PatientID) == ("DX", "CHEST", alias)
        assert header.PatientIdentityRemoved == "YES"
        assert "PixelSpacing" not in header
        assert not any(element.tag.is_private for element in header)
        assert 0x00109998 not in header
        uids |= {header.SOPInstanceUID, header.StudyInstanceUID, header.SeriesInstanceUID}
    assert len(uids) == 3 * len(key.images)


def test_originals_without_a_header_get_one(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("dicomanonymizer")
    made(tmp_path, folder(tmp_path / "ward", patients=2), "pixelate", form="dicom")
    key = read_key(tmp_path / "out.key.json")
    headers = [pydicom.dcmread(tmp_path / "out" / "images" / f"{name}.dcm") for name in key.images]
    # Patients are not told: each image has one of its own.
    assert len({header.PatientID for header in headers}) == 4


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for patients in (130, 330):
        dataset = folder(tmp_path / f"ward-{patients}", patients=patients)
        load_cohort(dataset, size=128, cache=tmp_path / "cache")
        tracemalloc.start()
        made(
            tmp_path,
            dataset,
            "pixelate",
            out=tmp_path / str(patients),
            key_path=tmp_path / f"{patients}.json",
            size=128,
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Both are more than a batch. Of 400 images more the pixels alone would take 6.5 MB.
    assert peaks[1] - peaks[0] < 2e6


def test_the_certificate_has_the_figures_of_the_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reidbench.cli import main
    from reidbench.report.figures.summary import worst_retrieval, worst_verification

    # A record in which few matched pairs give a higher AUC than any attack that decides a worst case.
    record = read_record(next(COMMITTED.glob("gaussian_noise-*.json")))
    attacks = []
    for attack in record.attacks:
        if attack.task == "verification" and attack.negatives == "matched":
            auc = attack.metrics.auc.model_copy(update={"value": 1.0})
            attack = attack.model_copy(
                update={"metrics": attack.metrics.model_copy(update={"auc": auc, "impostor": 9})}
            )
        attacks.append(attack)
    record = record.model_copy(update={"attacks": attacks})
    path = write_record(record, tmp_path)
    folder(tmp_path / "ward")
    options = json.dumps(record.defense.options)
    monkeypatch.setenv("REIDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["release", f"--defense=gaussian_noise:{options}", "--dataset=folder", "--root=ward", "--size=16", "-q"]
    monkeypatch.setattr(sys, "argv", ["reidbench", *words, "--out=out", f"--record={path}", "--device=cpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = json.loads((tmp_path / "out" / "certificate.json").read_text())["record"]
    assert told["worst_verification_auc"] == worst_verification(record).value < 1
    assert told["worst_retrieval_map_at_r"] == worst_retrieval(record).value
    assert f"AUC {worst_verification(record).value:.3f}" in (tmp_path / "out" / "certificate.html").read_text()


@pytest.mark.parametrize("finished", [False, True])
def test_damaged_images_are_made_again_and_never_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    dataset = folder(tmp_path / "ward")
    if finished:
        made(tmp_path, dataset)
    else:
        write, calls = module.write_file, []

        def failing(path: Path, *args: Any, **options: Any) -> Path:
            calls.append(path)
            if len(calls) > 5:
                raise KeyboardInterrupt
            return write(path, *args, **options)

        monkeypatch.setattr(module, "write_file", failing)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path, dataset)
        monkeypatch.setattr(module, "write_file", write)
        journal = tmp_path / "out.key.json.written"
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
        with journal.open("a") as stream:
            stream.write("0123")  # the line of a killed process
    there = sorted((tmp_path / "out" / "images").iterdir())
    there[0].write_bytes(there[1].read_bytes())
    there[2].write_bytes(b"")
    kept = there[3].stat().st_ino
    certificate = made(tmp_path, dataset)
    key = read_key(tmp_path / "out.key.json")
    wanted = expected(tmp_path, dataset, "gaussian_noise:sigma=0.1", key.seed)
    for name, (image, _, _) in key.images.items():
        np.testing.assert_array_equal(decode(tmp_path / "out" / "images" / f"{name}.png", "x", 16), wanted[image])
    assert certificate["images_sha256"] == files_digest(key, tmp_path / "out")
    assert finished or there[3].stat().st_ino == kept
    assert not (tmp_path / "out.key.json.written").exists()


def test_a_key_that_others_can_read_is_closed_again(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward")
    made(tmp_path, dataset)
    (tmp_path / "out.key.json").chmod(0o644)
    made(tmp_path, dataset)
    assert stat.S_IMODE((tmp_path / "out.key.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["images/holiday.png", "notes.txt"])
def test_a_release_goes_on_only_among_its_own_files(tmp_path: Path, name: str) -> None:
    dataset = folder(tmp_path / "ward")
    made(tmp_path, dataset)
    (tmp_path / "out" / name).write_bytes(b"x")
    with pytest.raises(ReidbenchError, match=f"{Path(name).name}: it is none of the files of this release"):
        made(tmp_path, dataset)
