"""DICOM files that the tests write: how they are found and decoded, and patients from headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import ReidbenchError, UnreadableImage

pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")

from dicom_files import RAMP, header, save, shown, write  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless  # noqa: E402


def test_rle_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "plain", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle")
    np.testing.assert_array_equal(shown(tmp_path / "rle"), shown(path))


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x", RAMP, syntax=JPEG2000Lossless)
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(ReidbenchError, match=r"is compressed as JPEG 2000 .* pip install pylibjpeg") as caught:
        decode(path, "x", 64)
    # Left out it would be silently missing, and stay so after the decoder is installed.
    assert not isinstance(caught.value, UnreadableImage)


def test_broken_files(tmp_path: Path) -> None:
    whole = write(tmp_path / "x", RAMP).read_bytes()
    (tmp_path / "x").write_bytes(whole[:-5000])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x", "x", 64)
    (tmp_path / "x").write_bytes(whole[:140])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x", "x", 64)
    film = np.stack([RAMP, RAMP])
    path = write(tmp_path / "film", film, NumberOfFrames=2)
    dataset = pydicom.dcmread(path)
    dataset.Rows, dataset.Columns = 64, 64
    dataset.save_as(path)
    with pytest.raises(UnreadableImage, match="it holds 2 frames"):
        decode(path, "x", 64)


def test_a_folder_of_dicom_files_is_a_cohort(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fields = {"PatientSex": "F", "PatientAge": "061Y", "ViewPosition": "PA"}
    write(root / "a/1.dcm", RAMP, StudyDate="20200110", **fields)
    write(root / "a/2", RAMP, StudyDate="20200101", **fields)
    write(root / "b/1.dcm", RAMP, PatientID=" p2 ", PatientSex="O", PatientAge="006M", ViewPosition="LL")
    write(root / "c/1.dcm", RAMP, PatientID="")
    save(root / "report.dcm", header(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    (root / "README.txt").write_text("hello")
    source = Folder(root=root, views="all").source()
    frame = source.frame
    assert list(frame["image_id"]) == ["a/1.dcm", "a/2", "b/1.dcm"]
    assert list(frame["patient_id"]) == ["p1", "p1", "p2"]
    assert frame["sex"].fillna("?").tolist() == ["F", "F", "?"]
    assert list(frame["age"]) == [61, 61, 0]
    assert frame["view"].fillna("?").tolist() == ["PA", "PA", "?"]
    np.testing.assert_array_equal(frame["days"], [9, 0, np.nan])
    assert source.notes == (
        "1 DICOM images have no PatientID and are left out",
        "2 files are not DICOM images and are left out",
    )
    cohort = load_cohort(Folder(root=root), size=64, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cohort.pixels[0], decode(root / "a/1.dcm", "x", 64))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, "1.2.840.10008.1.2"])
def test_files_without_preamble_are_found_and_read(tmp_path: Path, syntax: str) -> None:
    root = tmp_path / "root"
    whole = write(root / "whole.dcm", RAMP, PatientID="p1")
    dataset = pydicom.dcmread(whole)
    bare = Dataset({element.tag: element for element in dataset})
    bare.save_as(root / "bare", implicit_vr=syntax != ExplicitVRLittleEndian, little_endian=True)
    assert (root / "bare").read_bytes()[128:132] != b"DICM"
    (root / "notes.txt").write_text("no DICOM at all, but long enough to be looked at" * 9)
    cohort = load_cohort(Folder(root=root, copies="keep"), size=64, cache=tmp_path / "cache")
    assert sorted(cohort.frame["image_id"]) == ["bare", "whole.dcm"]
    np.testing.assert_array_equal(cohort.pixels[0], cohort.pixels[1])


def test_linked_folders_are_read_or_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a" / "1.dcm", RAMP)
    write(tmp_path / "disk" / "2.dcm", RAMP)
    (root / "b").symlink_to(root / "a")
    (root / "loop").symlink_to(root)
    (root / "c").symlink_to(tmp_path / "disk")
    source = Folder(root=root).source()
    assert list(source.frame["image_id"]) == ["a/1.dcm"]
    assert source.notes == ("1 links lead out of the folder and are left out; links=follow follows them",)
    assert list(Folder(root=root, links="follow").source().frame["image_id"]) == ["a/1.dcm", "c/2.dcm"]


@pytest.mark.parametrize("length", [132, 140, 150, 170, 240, 360, 480])
def test_a_file_cut_short_in_its_header_is_named_and_refused_by_strict(tmp_path: Path, length: int) -> None:
    root = tmp_path / "root"
    for number in range(8):
        write(root / f"{number}.dcm", RAMP, PatientID=f"p{number}")
    whole = (root / "7.dcm").read_bytes()
    assert whole.index(b"\x28\x00\x10\x00US") > length, "before Rows"
    (root / "7.dcm").write_bytes(whole[:length])
    dataset = Folder(root=root, val_share=0)
    assert dataset.source().notes == ()
    cohort = load_cohort(dataset, size=16, cache=tmp_path / "cache")
    assert len(cohort) == 7
    told = "1 of 8 images cannot be read and are left out: 7.dcm ("
    assert any(with_names(note).startswith(told) for note in cohort.notes)
    with pytest.raises(ReidbenchError, match=r"1 of 8 images cannot be read: 7\.dcm \("):
        load_cohort(dataset, size=16, cache=tmp_path / "cache", strict=True)


def test_an_image_without_rows_is_damaged_and_a_report_is_no_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(8):
        write(root / f"{number}.dcm", RAMP, PatientID=f"p{number}")
    save(root / "rowless.dcm", header())
    save(root / "report.dcm", header(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"))
    save(root / "private.dcm", header(SOPClassUID="1.2.3.4"))
    notes = load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").notes
    assert "2 files are not DICOM images and are left out" in notes
    told = "1 of 9 images cannot be read and are left out: rowless.dcm ("
    assert any(with_names(note).startswith(told) for note in notes)


def test_a_manifest_may_name_dicom_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "x.dcm", RAMP, PatientID="hidden")
    (root / "manifest.csv").write_text("path,patient_id\nx.dcm,p7\n")
    cohort = load_cohort(Folder(root=root), size=64, cache=tmp_path / "cache")
    assert list(cohort.frame["patient_id"]) == ["p7"]
    np.testing.assert_array_equal(cohort.pixels[0], decode(root / "x.dcm", "x", 64))


def test_without_any_patient(tmp_path: Path) -> None:
    write(tmp_path / "x.dcm", RAMP, PatientID="")
    with pytest.raises(ReidbenchError, match="1 DICOM images have no PatientID"):
        Folder(root=tmp_path).source()


def test_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.dcm", RAMP)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ReidbenchError, match=r"pip install 'reidbench\[dicom\]'"):
        decode(path, "x", 64)
    with pytest.raises(ReidbenchError, match=r"pip install 'reidbench\[dicom\]'"):
        Folder(root=tmp_path).source()


def test_frames_that_the_header_does_not_count_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x", np.concatenate([RAMP, RAMP]))
    dataset = pydicom.dcmread(path)
    dataset.Rows = 64
    with pytest.raises(UnreadableImage, match="2 frames"):
        decode(save(path, dataset), "x", 64)


def test_rows_are_rendered_in_strips_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reidbench.cohorts.pixels import decode as module
    from reidbench.cohorts.pixels import intensity

    rng = np.random.default_rng(0)
    values = rng.integers(100, 4000, (64, 64)).astype(np.uint16)
    kinds: list[dict[str, Any]] = [
        {},
        {"WindowCenter": 2000, "WindowWidth": 3000, "PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": 0.5, "WindowWidth": 0.9, "PixelPaddingValue": 100},
    ]
    paths = [write(tmp_path / f"{number}.dcm", values, **kind) for number, kind in enumerate(kinds)]
    colour = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    paths.append(
        write(
            tmp_path / "c.dcm",
            colour,
            bits=8,
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=0,
        )
    )
    whole, small = [shown(path) for path in paths], [decode(path, "x", 16).astype(float) for path in paths]
    monkeypatch.setattr(intensity, "_AT_ONCE", 500)
    for path, expected in zip(paths, whole):
        np.testing.assert_array_equal(shown(path), expected)
    # A larger one is averaged over squares first, here of two by two pixels.
    monkeypatch.setattr(module, "_STRIP", 1024)
    for path, expected in zip(paths, small):
        assert np.abs(decode(path, "x", 16) - expected).mean() < 12


def test_memory_of_a_large_dicom_is_bounded(tmp_path: Path) -> None:
    import tracemalloc

    pixels = np.tile(np.arange(4000, dtype=np.uint16), (4000, 1))
    path = write(tmp_path / "a.dcm", pixels)
    decode(path, "a", 64)
    tracemalloc.start()
    decode(path, "a", 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The file, its values twice, and the grey levels: ten bytes a pixel, where 32 would be taken at once.
    assert peak < 14 * pixels.size
