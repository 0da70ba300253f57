"""What `data check` finds: counts, duplicates, broken files, and the sheet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidbench.cohorts.base import Cohort
from reidbench.cohorts.check import Duplicate, check_dataset, find_duplicates
from reidbench.cohorts.pixels.contact_sheet import draw_contact_sheet
from reidbench.cohorts.sources.chestxray14 import ChestXray14
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import ReidbenchError


@pytest.fixture
def dataset(tmp_path: Path, write_png: Callable[..., Path]) -> Folder:
    """Six images: one broken, one of patient p1 again under p3, one of p1 twice; and one that is not there."""
    root = tmp_path / "root"
    for number, name in enumerate(("a", "b", "c", "d")):
        write_png(root / f"{name}.png", seed=number)
    shutil.copy(root / "a.png", root / "a_again.png")
    shutil.copy(root / "a.png", root / "a_stranger.png")
    (root / "d.png").write_bytes(b"broken")
    (root / "manifest.csv").write_text(
        "path,patient_id,split,days,Mass\n"
        "a.png,p1,train,3,1\n"
        "a_again.png,p1,train,10,0\n"
        "b.png,p1,train,40,\n"
        "c.png,p2,val,0,0\n"
        "d.png,p2,val,9,1\n"
        "a_stranger.png,p3,test,0,0\n"
        "gone.png,p3,test,1,1\n"
    )
    return Folder(root=root)


def test_report(tmp_path: Path, dataset: Folder) -> None:
    report = check_dataset(dataset, size=32, cache=tmp_path / "cache")
    found = report.to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found, "JSON types throughout"
    assert found["splits"] == {
        "train": {"images": 3, "patients": 1, "multi_images": 3, "positive_pairs": 3},
        "val": {"images": 2, "patients": 1, "multi_images": 2, "positive_pairs": 1},
        "test": {"images": 1, "patients": 1, "multi_images": 0, "positive_pairs": 0},
    }
    assert found["official"]["test"] == {"images": 2, "patients": 1, "multi_images": 2, "positive_pairs": 1}
    assert found["run_splits"]["val"] == {"images": 1, "patients": 1, "multi_images": 0, "positive_pairs": 0}
    assert found["images_per_patient"] == {"1": 2, "3": 1}
    assert found["follow_up"] == {"unit": "days", "median": 37.0, "longest": 37.0}
    assert found["labels"] == {"Mass": {"images": 1, "share": 0.25}}
    assert found["unreadable"] == {"d.png": "not an image file"}
    assert found["duplicates"] == [
        {
            "images": ["a.png", "a_again.png", "a_stranger.png"],
            "patients": ["p1", "p3"],
            "splits": ["train", "test"],
            "across_patients": True,
            "across_splits": True,
        }
    ]
    assert len(found["notes"]) == 3
    assert (found["copied_pairs"], found["same_visit_pairs"]) == (1, 0)


def test_report_for_a_person(tmp_path: Path, dataset: Folder) -> None:
    text = check_dataset(dataset, size=32, cache=tmp_path / "cache").to_text()
    lines = text.splitlines()
    assert lines[0] == "folder, decoded at 32×32"
    assert lines[2:6] == [
        "there:",
        "  train              3         1                                 3               3",
        "  val                2         1                                 2               1",
        "  test               1         1                                 0               0",
    ]
    assert "images per patient: up to 3; 1 patients have several" in lines
    assert "follow-up of those: 37 days at the median, 37 days at most" in lines
    assert "  Mass                                   1  25.00%" in lines
    assert "unreadable: d.png: not an image file" in lines
    assert "the same pixels: a.png, a_again.png, a_stranger.png; under the patients p1, p3; in train and test" in lines
    assert sum(line.startswith("note: ") for line in lines) == 3


def test_duplicates_of_one_patient_are_no_leak() -> None:
    group = Duplicate(("a", "b"), ("p1",), ("train",))
    assert not group.across_patients
    assert not group.across_splits
    assert group.to_text() == "the same pixels: a, b"


def cohort(patients: list[int], values: list[int]) -> Cohort:
    names = [f"image{row}" for row in range(len(patients))]
    frame = pd.DataFrame({"image_id": names, "patient_id": patients, "patient": patients, "split": "train"})
    return Cohort("made", frame, np.array(values, dtype=np.uint8)[:, None, None].repeat(16, 1).repeat(16, 2), (), "r")


def test_groups_are_found_in_table_order() -> None:
    groups = find_duplicates(cohort([0, 1, 2, 3, 4, 5], [9, 7, 5, 7, 9, 9]))
    assert [group.images for group in groups] == [("image0", "image4", "image5"), ("image1", "image3")]
    assert find_duplicates(cohort([0, 1], [1, 2])) == []


def test_contact_sheet_shows_linkable_patients_first(tmp_path: Path) -> None:
    values = [10, 200, 30, 40, 60]
    draw_contact_sheet(cohort([0, 1, 1, 2, 2], values), tmp_path / "sheet.png", patients=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    shown = set(np.unique(sheet))
    assert {200, 30, 40, 60} <= shown
    # The middles of the tiles, row by row.
    assert [int(sheet[y, x]) for y in (100, 280) for x in (86, 252)] == [200, 30, 40, 60]


def test_contact_sheet_of_a_long_follow_up_has_first_and_last(tmp_path: Path) -> None:
    draw_contact_sheet(cohort([0] * 20, list(range(0, 200, 10))), tmp_path / "sheet.png", images=3)
    assert {0, 190} <= set(np.unique(np.asarray(Image.open(tmp_path / "sheet.png"))))


def test_contact_sheet_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ReidbenchError, match="cannot write the contact sheet"):
        draw_contact_sheet(cohort([0], [1]), tmp_path / "nowhere" / "sheet.png")


def test_report_writes_its_sheet(tmp_path: Path, dataset: Folder) -> None:
    check_dataset(dataset, size=32, cache=tmp_path / "cache").contact_sheet(tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (6 + 3 * 166, 6 + 3 * 180)


@pytest.mark.data
def test_real_blemishes_are_found(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "chestxray14-sample"
    names = ("00001989_004", "00001989_005", "00002658_001", "00002658_002", "00001336_000", "00001337_000")
    (tmp_path / "images").mkdir()
    paths = [*sample.glob("*.gz"), *sample.glob("*.txt"), *(sample / "images" / f"{name}.png" for name in names)]
    for path in paths:
        (tmp_path / path.relative_to(sample)).symlink_to(path)
    report = check_dataset(ChestXray14(root=tmp_path), size=64, cache=tmp_path / "cache")
    assert [group.images for group in report.duplicates] == [
        ("00001989_004.png", "00001989_005.png"),
        ("00002658_001.png", "00002658_002.png"),
    ]
    assert not any(group.across_patients for group in report.duplicates)
    assert report.official["test"]["positive_pairs"] == 520_309
