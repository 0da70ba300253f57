"""The audits that docs/data.md shows, on folders in the layout of each collection, filled with generated thoraces."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from reidbench.cohorts.sources.phantom import Phantom

# Of CheXpert's labeller, as MIMIC-CXR-JPG, BRAX and CheXpert have them.
FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    "Support Devices",
)


class Thoraces:
    """Generated patients: a table as a cohort has it, and pixels (N, 128, 128) uint8.

    Args:
        patients: how many.
    """

    def __init__(self, patients: int) -> None:
        phantom = Phantom(patients=patients)
        self.frame = phantom.source().frame.reset_index(drop=True)
        self.numbers = pd.factorize(self.frame["patient_id"])[0]
        self.pixels: NDArray[np.uint8] = phantom.read(self.frame, 128)

    def __iter__(self) -> Iterator[tuple[int, int, pd.Series]]:
        """Number of the image, number of the patient, and the row of the table."""
        for row, patient in enumerate(self.numbers):
            yield row, int(patient), self.frame.iloc[row]

    def date(self, row: int) -> str:
        """A day of the image, yyyymmdd."""
        days = self.frame["days"].iloc[row] if "days" in self.frame else row
        return (pd.Timestamp("2014-01-01") + pd.Timedelta(days=int(days))).strftime("%Y%m%d")

    def save(self, path: Path, row: int, *, deep: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.pixels[row].astype(np.uint16) * 16 if deep else self.pixels[row]
        Image.fromarray(pixels).save(path)


def _write(path: Path, head: str, rows: list[str]) -> None:
    path.write_text("\n".join([head, *rows]) + "\n")


def _labels(row: pd.Series) -> str:
    told = {"Pleural Effusion": "Effusion"}
    values = [row.get(told.get(name, name)) for name in FINDINGS]
    return ",".join("" if value is None or pd.isna(value) else f"{float(value)}" for value in values)


def mimic_cxr(root: Path, thoraces: Thoraces) -> None:
    """Tables, compressed as published, and ``files/pNN/pNNNNNNNN/sNNNNNNNN/<dicom_id>.jpg``."""
    metadata, splits, labels, people = [], [], [], {}
    for row, number, image in thoraces:
        patient, study, name = f"{10_000_000 + 7919 * number}", f"{50_000_000 + row}", f"{row:08x}-{number:08x}-9d1c"
        thoraces.save(root / f"files/p{patient[:2]}/p{patient}/s{study}/{name}.jpg", row)
        metadata.append(f"{name},{patient},{study},CHEST (PA AND LAT),{image['view']},3056,2544,{thoraces.date(row)},1")
        splits.append(f"{name},{study},{patient},{image['split'].replace('val', 'validate')}")
        labels.append(f"{patient},{study},{_labels(image)}")
        people[patient] = f"{patient},{image['sex']},{image['age']:g},2014,2014 - 2016,"
    head = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    )
    for name, first, rows in (
        ("metadata", head, metadata),
        ("split", "dicom_id,study_id,subject_id,split", splits),
        ("chexpert", f"subject_id,study_id,{','.join(FINDINGS)}", labels),
    ):
        _compress(root / f"mimic-cxr-2.0.0-{name}.csv.gz", "\n".join([first, *rows]) + "\n")
    _compress(
        root / "patients.csv.gz",
        "\n".join(["subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod", *people.values()]) + "\n",
    )


def _compress(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


def padchest(root: Path, thoraces: Thoraces) -> None:
    """One table, and PNG files of 16 bits in numbered folders."""
    rows = []
    for row, number, image in thoraces:
        name, folder = f"{10**30 + row}_{number}.png", row % 3
        thoraces.save(root / str(folder) / name, row, deep=True)
        words = [word for word in ("cardiomegaly", "pneumonia", "nodule") if image.get(word.capitalize()) == 1]
        born = 2014 - int(image["age"])
        rows.append(
            f"{row},{name},{folder},{thoraces.date(row)},{10**20 + row},{9 * 10**20 + number},{born},{image['sex']},"
            f'{image["view"]},{image["view"]},Manual review of DICOM fields,MONOCHROME2,,"{words or ["normal"]}"'
        )
    head = (
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
        "MethodProjection,PhotometricInterpretation_DICOM,Report,Labels"
    )
    _write(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", head, rows)


def brax(root: Path, thoraces: Thoraces) -> None:
    """``master_spreadsheet_update.csv`` and ``images/id_…/Study_…/Series_…/image-….png``."""
    rows = []
    for row, number, image in thoraces:
        stem = f"id_{number:04x}/Study_{row}.1/Series_{row}.2/image-{row}"
        thoraces.save(root / f"images/{stem}.png", row)
        rows.append(
            f"Anonymized_DICOMs/{stem}.dcm,images/{stem}.png,id_{number:04x},{image['sex']},{image['age']:g},"
            f"{10**6 + row},31{thoraces.date(row)[2:]},{_labels(image)},{image['view']}"
        )
    head = (
        f"DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,{','.join(FINDINGS)},ViewPosition"
    )
    _write(root / "master_spreadsheet_update.csv", head, rows)


def hannover(root: Path, thoraces: Thoraces) -> None:
    """``data.csv`` and ``png/<image_id>.png``."""
    rows = []
    for row, number, image in thoraces:
        thoraces.save(root / f"png/{row:08x}.png", row)
        sex = {"M": "m", "F": "w"}[image["sex"]]
        rows.append(f"{row:08x},p{number},{sex},{image['age']:g},{image['view']},X-ray,{-int(row)},Hannover,2020")
    _write(root / "data.csv", "image_id,patient_id,sex,age,projection,modality,admission_offset,location,year", rows)


def plain_folder(root: Path, thoraces: Thoraces) -> None:
    """``PATIENT/IMAGE`` and nothing else."""
    for row, number, _ in thoraces:
        thoraces.save(root / f"patient {number}/{row}.png", row)


def chexpert(root: Path, thoraces: Thoraces) -> None:
    """``train.csv`` and ``train/patientNNNNN/studyN/view1_frontal.jpg``."""
    rows = []
    for row, number, image in thoraces:
        path = f"train/patient{number:05d}/study{row + 1}/view1_frontal.jpg"
        thoraces.save(root / path, row)
        sex = {"M": "Male", "F": "Female"}[image["sex"]]
        rows.append(f"CheXpert-v1.0-small/{path},{sex},{image['age']:g},Frontal,{image['view']},{_labels(image)}")
    _write(root / "train.csv", f"Path,Sex,Age,Frontal/Lateral,AP/PA,{','.join(FINDINGS)}", rows)


def covid19(root: Path, thoraces: Thoraces) -> None:
    """``metadata.csv`` and ``images/``."""
    rows = []
    for row, number, image in thoraces:
        thoraces.save(root / f"images/{row}.jpeg", row)
        rows.append(
            f"{number},{row},{image['sex']},{image['age']:g},Pneumonia/Viral/COVID-19,{image['view']},X-ray,{row}.jpeg"
        )
    _write(root / "metadata.csv", "patientid,offset,sex,age,finding,view,modality,filename", rows)


def chestxray14(root: Path, thoraces: Thoraces) -> None:
    """The table, both lists, and ``images/``."""
    rows, lists = [], {"train": [], "val": [], "test": []}
    for row, number, image in thoraces:
        name = f"{number + 1:08d}_{row:03d}.png"
        thoraces.save(root / f"images/{name}", row)
        rows.append(
            f"{name},No Finding,{row},{number + 1},{image['age']:g},{image['sex']},{image['view']},2500,2048,0.1,0.1"
        )
        lists[image["split"]].append(name)
    head = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    _write(root / "Data_Entry_2017_v2020.csv", head, rows)
    (root / "train_val_list.txt").write_text("\n".join([*lists["train"], *lists["val"]]) + "\n")
    (root / "test_list.txt").write_text("\n".join(lists["test"]) + "\n")


LAYOUTS: dict[str, Callable[[Path, Thoraces], None]] = {
    made.__name__: made for made in (mimic_cxr, padchest, brax, hannover, plain_folder, chexpert, covid19, chestxray14)
}


PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
COMMANDS = dict(re.findall(r"^\| `(\w+)` \|.*\| `(reidbench audit [^`]+)` \|$", PAGE, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def thoraces() -> Thoraces:
    return Thoraces(30)


def test_the_page_has_a_command_for_each_collection() -> None:
    assert COMMANDS.keys() == LAYOUTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_an_audit_as_documented(
    call: Callable[..., object], tmp_path: Path, thoraces: Thoraces, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    # As a shell would: the page writes ~, or a folder beside.
    words = [os.path.expanduser(word) for word in shlex.split(COMMANDS[name])]  # noqa: PTH111
    root = tmp_path / words[words.index("--root") + 1]
    LAYOUTS[name](root, thoraces)
    before = sorted(root.rglob("*"))
    call(*words[1:], "--set=bootstrap_runs=50", "--json", "--quiet")
    assert sorted(root.rglob("*")) == before
    table = pd.read_csv(tmp_path / "audit" / "patients.csv", dtype=str)
    assert len(table) >= 3
    assert (tmp_path / "audit" / "audit.md").is_file()
    # Everything in the folder was read: no image is left out, and nothing is unknown that the table says.
    done = call("data", "check", *words[3:6], "--size=32", "--json", "--quiet")
    told = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert sum(part["images"] for part in told["run_splits"].values()) == len(thoraces.frame)
    assert told["unreadable"] == {}
    for column, found in told["columns"].items():
        assert (found["known"], found["not_understood"]) == (len(thoraces.frame), {}), column
    if name == "padchest":
        assert told["same_visit_pairs"] == 0
