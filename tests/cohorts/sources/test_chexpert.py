"""CheXpert in its published layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.chexpert import CheXpert
from reidbench.errors import ReidbenchError

PREFIX = "CheXpert-v1.0-small/"
FINDINGS = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
]  # fmt: skip


def rows(paths: list[str], **columns: list[object]) -> pd.DataFrame:
    table = pd.DataFrame({"Path": [PREFIX + path for path in paths]})
    table["Sex"] = "Female"
    table["Age"] = 60
    table["Frontal/Lateral"] = ["Lateral" if "lateral" in path else "Frontal" for path in paths]
    table["AP/PA"] = "AP"
    for finding in FINDINGS:
        table[finding] = np.nan
    return table.assign(**columns)


@pytest.fixture
def root(tmp_path: Path, write_png: Callable[..., Path]) -> Path:
    train = [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study2/view1_frontal.jpg",
        "train/patient00001/study2/view2_lateral.jpg",
        "train/patient00002/study1/view1_frontal.jpg",
    ]
    findings = {
        "Sex": ["Male", "Male", "Male", "Unknown"],
        "Age": [50, 52, 52, 70],
        "AP/PA": ["AP", "PA", np.nan, "LL"],
        "Pleural Effusion": [1.0, -1.0, np.nan, 0.0],
        "Support Devices": [1.0, np.nan, np.nan, -1.0],
    }
    rows(train, **findings).to_csv(tmp_path / "train.csv", index=False)
    valid = ["valid/patient64541/study1/view1_frontal.jpg"]
    rows(valid).to_csv(tmp_path / "valid.csv", index=False)
    for number, path in enumerate(train + valid):
        write_png(tmp_path / path, seed=number)
    return tmp_path


def test_frontal_images_of_both_tables(root: Path) -> None:
    source = CheXpert(root=root).source()
    frame = source.frame
    assert list(frame["patient_id"]) == ["patient00001", "patient00001", "patient00002", "patient64541"]
    assert frame["image_id"].iloc[1] == "train/patient00001/study2/view1_frontal.jpg"
    assert list(frame["follow_up"]) == [0, 1, 0, 0]
    assert list(frame["years"]) == [0, 2, 0, 0]
    assert frame["sex"].fillna("?").tolist() == ["M", "M", "?", "F"]
    assert frame["view"].fillna("?").tolist() == ["AP", "PA", "?", "AP"]
    assert list(frame["foreign_material"]) == [1, 0, 0, 0]
    assert source.notes == ("1 lateral images are left out",)
    assert {"No Finding", "Support Devices"}.isdisjoint(source.labels)


@pytest.mark.parametrize(("uncertain", "value"), [("zeros", 0), ("ones", 1), ("unknown", np.nan)])
def test_uncertain_findings(root: Path, uncertain: str, value: float) -> None:
    frame = CheXpert(root=root, uncertain=uncertain).source().frame
    np.testing.assert_array_equal(frame["Effusion"], [1, value, 0, 0])


def test_the_option_decodes_nothing_anew(root: Path, tmp_path: Path) -> None:
    revisions = {
        load_cohort(CheXpert(root=root, uncertain=uncertain), size=16, cache=tmp_path / "cache").revision
        for uncertain in ("zeros", "ones")
    }
    assert len(revisions) == 2
    assert len([path for path in (tmp_path / "cache" / "pixels").iterdir() if path.is_dir()]) == 1


def test_a_patient_keeps_to_one_split(root: Path) -> None:
    frame = CheXpert(root=root, val_share=0.3, test_share=0.3).source().frame
    assert frame.groupby("patient_id")["split"].nunique().max() == 1


def test_partial_download(root: Path) -> None:
    (root / "valid/patient64541/study1/view1_frontal.jpg").unlink()
    source = CheXpert(root=root).source()
    assert "a part of CheXpert: 3 of 4 frontal images are there" in source.notes


def test_what_is_wrong_is_named(root: Path) -> None:
    table = pd.read_csv(root / "train.csv")
    table.drop(columns="AP/PA").to_csv(root / "train.csv", index=False)
    with pytest.raises(ReidbenchError, match=r"chexpert: .*train\.csv has no column 'AP/PA'"):
        CheXpert(root=root).source()
    table.assign(Path="here.jpg").to_csv(root / "train.csv", index=False)
    with pytest.raises(ReidbenchError, match=r"the path 'here\.jpg' is not"):
        CheXpert(root=root).source()
    (root / "train.csv").unlink()
    (root / "valid.csv").unlink()
    with pytest.raises(ReidbenchError, match=r"holds neither train\.csv nor valid\.csv"):
        CheXpert(root=root).source()


def test_tables_without_images(root: Path) -> None:
    for path in root.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(ReidbenchError, match="holds none of the images"):
        CheXpert(root=root).source()
