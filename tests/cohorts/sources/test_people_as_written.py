"""Patients, visits, findings and folders as people write them: one patient is one, and nobody is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.check import check_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.sources.chexpert import CheXpert
from reidbench.cohorts.sources.covid19 import Covid19
from reidbench.cohorts.sources.folder import Folder
from reidbench.cohorts.sources.plain_folder import PlainFolder
from reidbench.errors import ReidbenchError

Write = Callable[..., Path]


def manifest(root: Path, write_png: Write, head: str, *rows: str) -> Path:
    for number, row in enumerate(rows):
        write_png(root / row.split(",")[0], seed=number)
    (root / "manifest.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def test_identifiers_of_a_spreadsheet_are_one_patient(tmp_path: Path, write_png: Write) -> None:
    ids = ['="0012"', "'0012", "0012", "００１２", "\ufeff0012", "0012\u200b"]
    rows = [f"{number}.png,{name}" for number, name in enumerate(ids)]
    source = Folder(root=manifest(tmp_path, write_png, "path,patient_id", *rows)).source()
    assert source.frame["patient_id"].unique().tolist() == ["0012"]


def test_rounded_identifiers_and_marks_between_words_are_named(tmp_path: Path, write_png: Write) -> None:
    ids = ["1.23457E+11", "P 001", "p-001", "P001", "1-11", "11-1", "q"]
    rows = [f"{number}.png,{name}" for number, name in enumerate(ids)]
    root = manifest(tmp_path, write_png, "path,patient_id", *rows)
    notes = load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").notes
    told = [with_names(note) for note in notes if "identifiers" in note]
    assert told[0].startswith("1 identifiers are rounded numbers (1.2E+09)")
    assert told[0].endswith("'1.23457E+11'")
    assert told[1].startswith(
        "1 patients may have several identifiers, which differ only in case, zeros or .0: 'P 001'"
    )


def test_uncertain_goes_for_foreign_material_and_for_the_word(tmp_path: Path, write_png: Write) -> None:
    head, rows = (
        "path,patient_id,Mass,foreign_material",
        ("a.png,p,uncertain,-1", "b.png,p,yes,Uncertain", "c.png,p,?,0"),
    )
    root = manifest(tmp_path, write_png, head, *rows)
    for option, meant in (("zeros", 0), ("ones", 1), ("unknown", np.nan)):
        frame = Folder(root=root, uncertain=option).source().frame
        np.testing.assert_array_equal(frame["foreign_material"], [meant, meant, 0])
        np.testing.assert_array_equal(frame["Mass"], [meant, 1, np.nan])
    load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache")


@pytest.mark.parametrize("value", ["inf", "1_0", "nano"])
def test_a_visit_s_number_must_be_one(tmp_path: Path, write_png: Write, value: str) -> None:
    root = manifest(tmp_path, write_png, "path,patient_id,follow_up", f"a.png,p,{value}")
    with pytest.raises(ReidbenchError, match=f"line 2: follow_up '{value}' is not a number"):
        Folder(root=root).source()


@pytest.mark.parametrize("column", ["study_id", "StudyInstanceUID", "AccessionNumber", "exam"])
def test_pairs_of_one_study_are_counted(tmp_path: Path, write_png: Write, column: str) -> None:
    rows = ("a.png,p,1.2.3,2020-01-01", "b.png,p,1.2.3,", "c.png,p,1.2.4,2020-01-01", "d.png,q,?,2020-01-01")
    rows += ("e.png,q,,2020-01-01",)
    root = manifest(tmp_path, write_png, f"path,patient_id,{column},days", *rows)
    options = {"study": "exam"} if column == "exam" else {}
    dataset = Folder(root=root, **options)
    # p's images of one study, and q's two of one day, of which no study is known.
    assert check_dataset(dataset, size=16, cache=tmp_path / "cache").same_visit_pairs == 2
    revision = load_cohort(dataset, size=16, cache=tmp_path / "cache").revision
    (root / "manifest.csv").write_text((root / "manifest.csv").read_text().replace(column, "nothing"))
    assert load_cohort(Folder(root=root), size=16, cache=tmp_path / "cache").revision == revision


def test_a_study_that_is_asked_for_must_be_there(tmp_path: Path, write_png: Write) -> None:
    root = manifest(tmp_path, write_png, "path,patient_id", "a.png,p")
    with pytest.raises(ReidbenchError, match="no column 'exam', named by the option study"):
        Folder(root=root, study="exam").source()


def test_dicom_headers_tell_studies_and_dates(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    ramp = np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)
    studies = (
        {"StudyInstanceUID": "1.2.3"},
        {"StudyInstanceUID": "1.2.3"},
        {"AccessionNumber": "A7"},
        {"StudyID": "9"},
    )
    dates = ("20200101", "1.1.20", "20200105", "2020.01.06")
    for number, (study, day) in enumerate(zip(studies, dates)):
        header = pydicom.Dataset()
        header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", f"1.2.{number + 1}"
        header.PatientID, header.Modality = "p\xa01" if number else "p 1", "DX"
        for tag, value in study.items():
            setattr(header, tag, value)
        header.add(pydicom.DataElement("StudyDate", "LO", day))
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows = header.Columns = 16
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
        header.PixelData = np.roll(ramp, 5 * number).tobytes()
        header["PixelData"].VR = "OB"
        header.SpecificCharacterSet = "ISO_IR 192"
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    report = check_dataset(Folder(root=tmp_path), size=16, cache=tmp_path / "cache")
    assert report.cohort.frame["patient_id"].unique().tolist() == ["p 1"]
    assert report.same_visit_pairs == 1
    np.testing.assert_array_equal(report.cohort.frame["days"], [0, np.nan, 4, 5])
    assert "days: 3 known, 0 unknown, '1.1.20' not understood: 1" in report.to_text()
    assert any(note.startswith("days: 1 values are not understood and count as unknown") for note in report.notes)


def test_folders_of_systems_are_no_patients(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(
        ("p1/a.png", "p1/b.png", "p2/a.png", "#7/a.png", "@eaDir/a.png", "p1/@eaDir/b.png/thumb.png", "__MACOSX/a.png")
    ):
        write_png(tmp_path / name, seed=number)
    for name in (
        ".Trash/a.png",
        "$RECYCLE.BIN/a.png",
        ".git/a.png",
        "lost+found/a.png",
        "#recycle/a.png",
        "p1/._a.png",
    ):
        write_png(tmp_path / name, seed=1)
    source = PlainFolder(root=tmp_path).source()
    assert source.frame["patient_id"].tolist() == ["#7", "p1", "p1", "p2"]
    [note] = [note for note in source.notes if "system" in note]
    assert note == "8 hidden folders or folders of a system are left out"
    assert with_names(note).endswith("left out: #recycle, $RECYCLE.BIN, .Trash")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_patient_is_no_further_one(tmp_path: Path, write_png: Write) -> None:
    root = tmp_path / "root"
    write_png(root / "p2/a.png", seed=1)
    write_png(root / "p2/b.png", seed=2)
    (root / "latest").symlink_to(root / "p2")
    (root / "a-first").symlink_to("p2")
    (root / "loop").symlink_to(root)
    assert PlainFolder(root=root).source().frame["patient_id"].tolist() == ["p2", "p2"]
    # What lies in a hidden store is read through the links to it alone.
    shutil.move(root / "p2", root / ".store")
    for name in ("latest", "a-first", "loop"):
        (root / name).unlink()
    (root / "p9").symlink_to(root / ".store")
    assert PlainFolder(root=root).source().frame["patient_id"].tolist() == ["p9", "p9"]


def chexpert(root: Path, write_png: Write) -> Path:
    findings = (
        "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
        "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
    )
    lines = [f"Path,Sex,Age,Frontal/Lateral,AP/PA,{findings}"]
    rows = (("Female", "68", "Frontal", "AP"), ("W", "45,5 ans ", "frontal", "PA"), ("Male", "old", "FRONTAL", "LL?"))
    for number, row in enumerate((*rows, ("Male", "60", "Oblique", ""), ("Male", "60", "Lateral", ""))):
        path = f"train/patient0000{number}/study1/view1.jpg"
        write_png(root / path.replace(".jpg", ".png"), seed=number).rename(root / path)
        fields = [f'"{value}"' for value in row] + ["", "", "1.0", "maybe so", "-1", "uncertain", *[""] * 8]
        lines.append(f"CheXpert-v1.0-small/{path},{','.join(fields)}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def test_chexpert_tells_what_it_did_not_understand(tmp_path: Path, write_png: Write) -> None:
    source = CheXpert(root=chexpert(tmp_path, write_png), uncertain="ones").source()
    told = {found.column: (found.known, found.strange) for found in source.understood}
    assert told["sex"] == (2, {"W": 1})
    assert told["age"] == (2, {"old": 1})
    assert told["view"] == (2, {"LL?": 1})
    assert told["Lung Opacity"] == (0, {"maybe so": 3})
    assert source.notes[:2] == (
        "1 lateral images are left out",
        "1 images are said to be neither frontal nor lateral and are left out",
    )
    assert "Lung Opacity: 3 values are not understood and count as unknown" in source.notes
    np.testing.assert_array_equal(source.frame["Lung Opacity"], [np.nan] * 3)
    np.testing.assert_array_equal(source.frame["Edema"], [1] * 3)
    np.testing.assert_array_equal(source.frame["Pneumonia"], [0] * 3)


def test_covid19_tells_what_it_did_not_understand(tmp_path: Path, write_png: Write) -> None:
    lines = ["patientid,offset,sex,age,finding,view,modality,filename"]
    for number, (offset, sex, age) in enumerate((("1", "M", "60"), ("inf", "femenino", "60s"), ("day 3", "F", ""))):
        write_png(tmp_path / f"images/{number}.png", seed=number)
        lines.append(f"{number},{offset},{sex},{age},todo,PA,X-ray,{number}.png")
    (tmp_path / "metadata.csv").write_text("\n".join([*lines, "9,,,,todo,PA oblique,X-ray,9.png"]) + "\n")
    source = Covid19(root=tmp_path).source()
    told = {found.column: found.strange for found in source.understood}
    assert told == {
        "sex": {"femenino": 1},
        "age": {"60s": 1},
        "view": {"PA oblique": 1},
        "days": {"inf": 1, "day 3": 1},
    }
    assert {note.split(":")[0] for note in source.notes if "not understood" in note} == set(told)


def test_patients_of_folders_are_compared_as_those_of_tables(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("a", "a ", "a\u200b", "\u0410")):
        write_png(tmp_path / name / f"{number}.png", seed=number)
    source = PlainFolder(root=tmp_path).source()
    assert sorted(source.frame["patient_id"]) == ["a", "a", "a", "\u0410"]
    # The last is Cyrillic, and looks like a Latin A.
    notes = load_cohort(PlainFolder(root=tmp_path), size=16, cache=tmp_path / "cache").notes
    assert any(note.startswith("1 patients may have several identifiers") for note in notes)


def test_dicom_files_without_an_ending_are_images_of_a_plain_folder(tmp_path: Path) -> None:
    mark = bytes(128) + b"DICM"
    for name in ("p/IM0001", "p/1.2.840.4711", "p/DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(mark)
    (tmp_path / "p" / "README").write_text("x")
    assert sorted(PlainFolder(root=tmp_path).source().frame["image_id"]) == ["p/1.2.840.4711", "p/IM0001"]


def test_accents_of_file_names_may_be_signs_of_their_own(tmp_path: Path, write_png: Write) -> None:
    write_png(tmp_path / "e\u0301.png")
    (tmp_path / "manifest.csv").write_text("path,patient_id,split\n\u00e9.png,p,train\n\u00e9.png2,q,\n")
    with pytest.raises(ReidbenchError, match="line 3: split is empty"):
        Folder(root=tmp_path).source()
    (tmp_path / "manifest.csv").write_text("path,patient_id\n\u00e9.png,p\n")
    assert len(Folder(root=tmp_path).source().frame) == 1


def test_paths_as_windows_writes_them(tmp_path: Path, write_png: Write) -> None:
    write_png(tmp_path / "ward" / "a.png")
    (tmp_path / "manifest.csv").write_text("path,patient_id\nward\\a.png,p\n")
    assert Folder(root=tmp_path).source().frame["image_id"].tolist() == ["ward/a.png"]
    for path in ("ward\\..\\..\\a.png", "\\ward\\a.png", "C:\\ward\\a.png", "\\\\disk\\ward\\a.png"):
        (tmp_path / "manifest.csv").write_text(f"path,patient_id\n{path},p\n")
        with pytest.raises(ReidbenchError, match="leaves the dataset's folder"):
            Folder(root=tmp_path).source()
