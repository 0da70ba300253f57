"""Published collections: folders of their layout, written here, become the right tables."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidbench.cohorts.check import check_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import Note
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.brax import Brax
from reidbench.cohorts.sources.chexpert import CheXpert
from reidbench.cohorts.sources.hannover import Hannover
from reidbench.cohorts.sources.mimic_cxr import MimicCxr
from reidbench.cohorts.sources.padchest import PadChest
from reidbench.cohorts.sources.plain_folder import PlainFolder
from reidbench.errors import ReidbenchError

Write = Callable[..., Path]
FINDINGS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


@pytest.fixture
def mimic(tmp_path: Path, write_png: Write) -> Path:
    root = tmp_path / "mimic"
    images = [
        ("d1", "10000032", "50000001", "PA", "21800506"),
        ("d2", "10000032", "50000001", "LATERAL", "21800506"),
        ("d3", "10000032", "50000002", "AP", "21800626"),
        ("d4", "10000764", "50000003", "", "21321015"),
        ("d5", "10000980", "50000004", "AP", "21850101"),
    ]
    for number, (image, patient, study, *_) in enumerate(images):
        png = write_png(tmp_path / "p.png", seed=number)
        path = root / f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if image != "d5":
            Image.open(png).save(path)
    rows = [f"{i},{p},{s},CHEST (PA AND LAT),{v},3056,2544,{d},213014.531" for i, p, s, v, d in images]
    head = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    )
    (root / "mimic-cxr-2.0.0-metadata.csv").write_text("\n".join([head, *rows]) + "\n")
    splits = ["dicom_id,study_id,subject_id,split", "d1,50000001,10000032,train", "d2,50000001,10000032,train"]
    splits += ["d3,50000002,10000032,train", "d4,50000003,10000764,test", "d5,50000004,10000980,validate"]
    (root / "mimic-cxr-2.0.0-split.csv").write_text("\n".join(splits) + "\n")
    labels = [f"subject_id,study_id,{FINDINGS}", "10000032,50000001,1.0,,,,,,,,,-1.0,,0.0,,1.0"]
    (root / "mimic-cxr-2.0.0-chexpert.csv").write_text("\n".join(labels) + "\n")
    return root


def test_mimic_cxr(mimic: Path, tmp_path: Path) -> None:
    source = MimicCxr(root=mimic).source()
    frame = source.frame
    assert list(frame["image_id"]) == ["d1", "d3", "d4"]
    assert list(frame["split"]) == ["train", "train", "test"]
    assert frame["view"].fillna("?").tolist() == ["PA", "AP", "?"]
    assert list(frame["days"]) == [0, 51, 0]
    assert list(frame["follow_up"]) == [0, 1, 0]
    # Not mentioned is 0; a study without a line was not labelled.
    np.testing.assert_array_equal(frame["Cardiomegaly"], [0, np.nan, np.nan])
    np.testing.assert_array_equal(frame["Atelectasis"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(frame["foreign_material"], [1, np.nan, np.nan])
    assert source.notes == (
        "MIMIC-IV's patients.csv is not there: sex and age are unknown",
        "1 lateral images are left out",
        "1 images of unknown view are kept",
        "1 of 4 images of MIMIC-CXR-JPG that its table names are not there and are left out",
    )
    assert MimicCxr(root=mimic, uncertain="ones").source().frame["Effusion"].iloc[0] == 1
    assert len(MimicCxr(root=mimic, views="all").source().frame) == 4
    cohort = load_cohort(MimicCxr(root=mimic), size=32, cache=tmp_path / "cache")
    assert len(cohort) == 3


def test_sex_and_age_of_mimic_come_from_mimic_iv(mimic: Path, tmp_path: Path) -> None:
    patients = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n10000032,F,52,2180,2014 - 2016,\n"
    (tmp_path / "patients.csv").write_text(patients + "10000764,M,86,2130,2014 - 2016,\n")
    frame = MimicCxr(root=mimic, patients=tmp_path / "patients.csv").source().frame
    assert list(frame["sex"]) == ["F", "F", "M"]
    assert list(frame["age"]) == [52, 52, 88]
    (mimic / "patients.csv").write_text(patients)
    np.testing.assert_array_equal(MimicCxr(root=mimic).source().frame["age"], [52, 52, np.nan])


def test_mimic_without_a_table(mimic: Path) -> None:
    (mimic / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    assert MimicCxr(root=mimic).source().labels == ()
    (mimic / "mimic-cxr-2.0.0-split.csv").unlink()
    assert len(MimicCxr(root=mimic, splits="hash").source().frame) == 3
    with pytest.raises(ReidbenchError, match=r"lacks the table mimic-cxr-2\.0\.0-split\.csv"):
        MimicCxr(root=mimic).source()


@pytest.fixture
def padchest(tmp_path: Path) -> Path:
    root = tmp_path / "padchest"
    head = (
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
        "Projection,MethodProjection,PhotometricInterpretation_DICOM,Report,Labels"
    )
    rows = [
        "0,a_1.png,0,20140915,s1,p1,1930,F,PA,PA,Manual,MONOCHROME2,,\"['pneumonia', 'pleural effusion']\"",
        "1,a_2.png,0,20140925,s2,p1,1930,F,LATERAL,L,Manual,MONOCHROME2,x,['normal']",
        "2,b_1.png,1,20150101,s3,p1,1930.0,F,,AP_horizontal,Manual,MONOCHROME1,x,['exclude']",
        "3,c_1.png,1,20150101,s4,p2,,M,,COSTAL,Manual,MONOCHROME2,x,",
        "4,d_1.png,1,20150101,s5,,1950,M,,PA,Manual,MONOCHROME2,x,['normal']",
        "5,e_1.png,54,20150101,s6,p3,1950,M,,PA,Manual,MONOCHROME2,x,['normal']",
    ]
    ramp = np.random.default_rng(0).integers(0, 3000, (8, 8)).astype(np.uint16)
    for number, name in enumerate(("0/a_1.png", "0/a_2.png", "1/b_1.png", "1/c_1.png", "1/d_1.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.kron(np.roll(ramp, number), np.ones((6, 6), dtype=np.uint16))).save(root / name)
    (root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def test_padchest(padchest: Path, tmp_path: Path) -> None:
    source = PadChest(root=padchest).source()
    frame = source.frame
    assert list(frame["image_id"]) == ["a_1.png", "b_1.png", "c_1.png"]
    assert list(frame["patient_id"]) == ["p1", "p1", "p2"]
    np.testing.assert_array_equal(frame["age"], [84, 85, np.nan])
    assert list(frame["days"]) == [0, 108, 0]
    assert frame["view"].fillna("?").tolist() == ["PA", "AP", "?"]
    np.testing.assert_array_equal(frame["Pneumonia"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(frame["Effusion"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(frame["Mass"], [0, np.nan, np.nan])
    assert "1 rows name no patient and are left out" in source.notes
    assert "1 lateral images are left out" in source.notes
    assert any(
        note.startswith("view: 1 values are not understood and count as unknown") and "'COSTAL' (1)" in note.names
        for note in source.notes
        if isinstance(note, Note)
    )
    cohort = load_cohort(PadChest(root=padchest), size=48, cache=tmp_path / "cache")
    rows = {name: row for row, name in enumerate(cohort.frame["image_id"])}
    for name in ("0/a_1.png", "1/b_1.png"):
        plain = decode(padchest / name, "x", 48)
        expected = 255 - plain if name == "1/b_1.png" else plain
        np.testing.assert_array_equal(cohort.pixels[rows[Path(name).name]], expected)


def test_brax(tmp_path: Path, write_png: Write) -> None:
    root = tmp_path / "brax"
    head = f"DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,{FINDINGS},ViewPosition"
    rows = []
    for number, (patient, age, date, view) in enumerate(
        [
            ("1", "60", "31050304", "PA"),
            ("1", "85 or more", "31050404", "AP"),
            ("1", "60", "31050404", "L"),
            ("2", "", "", ""),
        ]
    ):
        stem = f"id_{patient}/Study_{number}/Series_{number}/image-{number}"
        write_png(root / f"images/{stem}.png", seed=number)
        values = "1.0,-1.0,,0.0,,,,,,,,,,1.0"
        rows.append(f"Anonymized_DICOMs/{stem}.dcm,images/{stem}.png,{patient},F,{age},9,{date},{values},{view}")
    (root / "master_spreadsheet_update.csv").write_text("\n".join([head, *rows]) + "\n")
    source = Brax(root=root).source()
    frame = source.frame
    assert list(frame["patient_id"]) == ["1", "1", "2"]
    np.testing.assert_array_equal(frame["age"], [60, 85, np.nan])
    np.testing.assert_array_equal(frame["days"], [0, 31, np.nan])
    np.testing.assert_array_equal(frame["Atelectasis"], [1, 1, 1])
    np.testing.assert_array_equal(frame["Cardiomegaly"], [0, 0, 0])
    assert frame["foreign_material"].tolist() == [1, 1, 1]
    assert "1 lateral images are left out" in source.notes
    with pytest.raises(ReidbenchError, match="holds none of the 3 images"):
        Brax(root=root, files="dicom").source()
    (root / "master_spreadsheet_update.csv").unlink()
    with pytest.raises(ReidbenchError, match=r"lacks the table master_spreadsheet_update\.csv"):
        Brax(root=root).source()


def test_hannover_as_it_is_published(tmp_path: Path, write_png: Write) -> None:
    rows = [
        "p1,i1,m,,,,0,0.0,4.0,,CR,ap,0.0",
        "p1,i2,m,,,,-5,-5.0,,,DX,pa,",
        "p2,i3,w,,,,,,,,CR,ap,",
        "p2,i4,w,,,,2,,,,CR,ap,",
    ]
    head = (
        "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,icu_release_offset,death_offset,"
        "modality,projection,crp_offset"
    )
    (tmp_path / "data.csv").write_text("\n".join([head, *rows]) + "\n")
    for number in range(1, 4):
        write_png(tmp_path / "png" / f"i{number}.png", seed=number)
    source = Hannover(root=tmp_path).source()
    frame = source.frame
    assert list(frame["image_id"]) == ["i1", "i2", "i3"]
    assert list(frame["sex"]) == ["M", "M", "F"]
    assert list(frame["view"]) == ["AP", "PA", "AP"]
    np.testing.assert_array_equal(frame["days"], [0, 5, np.nan])
    assert source.notes == ("1 of 4 images that data.csv names are not there and are left out",)
    report = check_dataset(Hannover(root=tmp_path), size=32, cache=tmp_path / "cache")
    assert report.to_json()["columns"]["age"] == {"known": 0, "unknown": 4, "not_understood": {}}


def test_a_plain_folder(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("ann/1.png", "ann/later/2.PNG", "bob/1.jpg", "alone.png")):
        write_png(tmp_path / name, seed=number)
    (tmp_path / "ann" / "notes.txt").write_text("x")
    source = PlainFolder(root=tmp_path).source()
    assert list(source.frame["image_id"]) == ["ann/1.png", "ann/later/2.PNG", "bob/1.jpg"]
    assert list(source.frame["patient_id"]) == ["ann", "ann", "bob"]
    assert source.notes == (
        "1 files are not images by their names and are left out",
        "1 images have no patient by patient=^([^/]+)/ and are left out",
    )
    assert len(load_cohort(PlainFolder(root=tmp_path), size=32, cache=tmp_path / "cache")) == 3


def test_a_plain_folder_of_strangers_and_a_link_that_leads_nowhere(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("ann/1.png", "ann/2.png", "unknown/1.png", "NaN/1.png")):
        write_png(tmp_path / name, seed=number)
    (tmp_path / "ann" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "ann" / "loop.png").symlink_to("loop.png")
    dataset = PlainFolder(root=tmp_path)
    source = dataset.source()
    # A folder for strangers would make one patient of them.
    assert set(source.frame["patient_id"]) == {"ann"}
    assert source.notes == ("2 images have no patient by patient=^([^/]+)/ and are left out",)
    report = check_dataset(dataset, size=32, cache=tmp_path / "cache")
    assert report.unreadable == {"ann/gone.png": "the file is gone", "ann/loop.png": os.strerror(errno.ELOOP)}


def test_pictures_that_a_run_left_among_the_images_are_no_patient(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("ann/1.png", "bob/1.png")):
        write_png(tmp_path / name, seed=number)
    (tmp_path / "runs").mkdir()
    for kind in ("examples", "attention"):
        Image.new("L", (9, 9)).save(tmp_path / "runs" / f"gaussian_noise-00112233445566aa.{kind}.webp")
    source = PlainFolder(root=tmp_path).source()
    assert list(source.frame["patient_id"]) == ["ann", "bob"]
    assert source.notes == ("2 files are not images by their names and are left out",)


def test_a_name_that_is_not_utf8_is_left_out_and_named(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("ann/1.png", "ann/2.png", "bob/q.png")):
        write_png(tmp_path / name, seed=number)
    try:
        os.rename(os.fsencode(tmp_path / "bob" / "q.png"), os.fsencode(tmp_path / "bob") + b"/\xff.png")  # noqa: PTH104
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    source = PlainFolder(root=tmp_path).source()
    assert set(source.frame["patient_id"]) == {"ann"}
    assert source.notes == ("1 files have names that are not UTF-8 and are left out",)
    assert source.notes[0].names == r"'bob/\udcff.png'"


def test_a_plain_folder_with_the_patient_in_the_name(tmp_path: Path, write_png: Write) -> None:
    for number, name in enumerate(("x/007_1.png", "y/007_2.png", "y/8_1.png")):
        write_png(tmp_path / name, seed=number)
    frame = PlainFolder(root=tmp_path, patient=r"([0-9]+)_[0-9]+\.png$").source().frame
    assert list(frame["patient_id"]) == ["007", "007", "8"]
    for pattern, message in (
        ("(", "not a regular expression"),
        ("x", "has 0 groups"),
        ("(z)", "holds no image of a patient"),
    ):
        with pytest.raises(ReidbenchError, match=message):
            PlainFolder(root=tmp_path, patient=pattern).source()


def test_chexpert_in_the_parts_of_its_own_download(tmp_path: Path, write_png: Write) -> None:
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding," + ",".join(
        name for name in FINDINGS.split(",") if name != "No Finding"
    )
    tables = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    tables.mkdir()
    train = [
        "patient00001/study1/view1_frontal.jpg",
        "patient30000/study2/view1_frontal.jpg",
        "patient50000/study1/view1_frontal.jpg",
    ]
    lines = [f"CheXpert-v1.0/train/{name},Female,68,Frontal,AP,{',' * 13}" for name in train]
    (tables / "train.csv").write_text("\n".join([head, *lines]) + "\n")
    line = f"CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,PA,{',' * 13}"
    (tables / "valid.csv").write_text(f"{head}\n{line}\n")
    write_png(tmp_path / "CheXpert-v1.0 batch 2 (train 1)" / train[0], seed=0)
    write_png(tmp_path / "CheXpert-v1.0 batch 4 (train 3)" / train[2], seed=1)
    write_png(tables / "valid/patient64541/study1/view1_frontal.jpg", seed=2)
    source = CheXpert(root=tmp_path).source()
    assert list(source.frame["patient_id"]) == ["patient00001", "patient50000", "patient64541"]
    assert "a part of CheXpert: 3 of 4 frontal images are there" in source.notes
    assert len(load_cohort(CheXpert(root=tmp_path), size=32, cache=tmp_path / "cache")) == 3


def test_years_of_birth_and_dates_that_are_none_are_counted(padchest: Path, mimic: Path, tmp_path: Path) -> None:
    table = next(padchest.glob("*.csv"))
    text = table.read_text().replace("20140915,s1,p1,1930", "2014.09.15,s1,p1,MCMXXX").replace("20150101,s3", "soon,s3")
    table.write_text(text.replace("s4,p2,,M", "s4,p2,2031,M"))
    source = PadChest(root=padchest).source()
    told = {found.column: found.strange for found in source.understood}
    assert told["age"] == {"MCMXXX": 1, "-16": 1}
    assert told["days"] == {"soon": 1}
    assert any(note.startswith("days: 1 values are not understood") for note in source.notes)
    (mimic / "patients.csv").write_text(
        "subject_id,gender,anchor_age,anchor_year\n10000032,F,old,2180\n10000764,M,86,2150\n10000980,M,50,2185\n"
    )
    metadata = mimic / "mimic-cxr-2.0.0-metadata.csv"
    metadata.write_text(metadata.read_text().replace("21850101", "2185-13-01"))
    source = MimicCxr(root=mimic).source()
    told = {found.column: found.strange for found in source.understood}
    assert told["age"] == {"old": 3}
    assert told["days"] == {"2185-13-01": 1}
    assert list(source.frame["age"].fillna(-1)) == [-1, -1, 68]


def test_dates_of_brax_that_are_none_are_counted(tmp_path: Path, write_png: Write) -> None:
    head = f"DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,{FINDINGS},ViewPosition"
    rows = []
    for number, date in enumerate(("31050304", "3105.03.06", "04/03/3105", "")):
        write_png(tmp_path / f"{number}.png", seed=number)
        rows.append(f"x,{number}.png,1,F,60,{number // 2},{date},{',' * 13},PA")
    (tmp_path / "master_spreadsheet_update.csv").write_text("\n".join([head, *rows]) + "\n")
    report = check_dataset(Brax(root=tmp_path), size=16, cache=tmp_path / "cache")
    assert "days: 2 known, 1 unknown, '04/03/3105' not understood: 1" in report.to_text()
    np.testing.assert_array_equal(report.cohort.frame["days"], [0, 2, np.nan, np.nan])
    assert report.same_visit_pairs == 2
