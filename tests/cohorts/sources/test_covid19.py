"""The COVID-19 Image Data Collection: what is kept, what is left out and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.covid19 import Covid19
from reidbench.cohorts.table import counts
from reidbench.errors import ReidbenchError

COLUMNS = ["patientid", "offset", "sex", "age", "finding", "view", "modality", "filename"]
ROWS = [
    ("2", "-3", "M", "65", "COVID-19, ARDS", "PA", "X-ray", "a.jpg"),
    ("2", "4", "M", "65", "COVID-19", "AP Supine", "X-ray", "b.PNG"),
    ("3a", "", "", "", "todo", "AP", "X-ray", "c.png"),
    ("4", "0", "F", "30", "No Finding", "PA", "X-ray", "gone.png"),
    ("5", "0", "F", "30", "SARS", "L", "X-ray", "lateral.png"),
    ("6", "0", "F", "30", "COVID-19", "Axial", "CT", "slice.png"),
    ("7", "0", "F", "30", "COVID-19", "PA", "CT", "volume.nii.gz"),
]


@pytest.fixture
def dataset(tmp_path: Path, write_png: Callable[..., Path]) -> Covid19:
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(tmp_path / "metadata.csv", index=False)
    for name in ("a.png", "b.PNG", "c.png", "lateral.png", "slice.png"):
        write_png(tmp_path / "images" / name)
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "a.jpg")  # a wrong ending, as published ones have
    return Covid19(root=tmp_path)


def test_frontal_xrays_that_are_there(dataset: Covid19) -> None:
    source = dataset.source()
    assert list(source.frame["image_id"]) == ["a.jpg", "b.PNG", "c.png"]
    assert list(source.frame["view"]) == ["PA", "AP", "AP"]
    np.testing.assert_array_equal(source.frame["days"], [0, 7, np.nan])
    np.testing.assert_array_equal(source.frame["age"], [65, 65, np.nan])
    assert source.frame["patient_id"].tolist() == ["2", "2", "3a"]
    assert len(source.whole) == 4


def test_findings(dataset: Covid19) -> None:
    source = dataset.source()
    assert source.labels == ("ARDS", "COVID-19")
    np.testing.assert_array_equal(source.frame["ARDS"], [1, 0, np.nan])
    np.testing.assert_array_equal(source.frame["COVID-19"], [1, 1, np.nan])
    np.testing.assert_array_equal(source.whole["COVID-19"], [1, 1, np.nan, 0])


def test_findings_that_newer_tables_write_as_paths(tmp_path: Path, dataset: Covid19) -> None:
    table = pd.read_csv(tmp_path / "metadata.csv", dtype=str)
    paths = {"COVID-19, ARDS": "Pneumonia/Viral/COVID-19, ARDS", "COVID-19": "Pneumonia/Viral/COVID-19"}
    table.assign(finding=table["finding"].replace(paths)).to_csv(tmp_path / "metadata.csv", index=False)
    source = dataset.source()
    assert source.labels == ("ARDS", "COVID-19", "Pneumonia", "Viral")
    for label in ("COVID-19", "Pneumonia", "Viral"):
        np.testing.assert_array_equal(source.whole[label], [1, 1, np.nan, 0])
    np.testing.assert_array_equal(source.frame["ARDS"], [1, 0, np.nan])


def test_what_is_left_out_is_said_in_a_line_each(dataset: Covid19) -> None:
    assert dataset.source().notes == (
        "3 rows that are not frontal X-rays (lateral views, CT, view unknown) are left out",
        "2 of 7 rows of metadata.csv name files that are not there and are left out; 1 of them would be frontal X-rays",
    )


def test_a_missing_column_and_a_missing_table(tmp_path: Path, dataset: Covid19) -> None:
    table = pd.read_csv(tmp_path / "metadata.csv").drop(columns="offset")
    table.to_csv(tmp_path / "metadata.csv", index=False)
    with pytest.raises(ReidbenchError, match=r"covid19: .*metadata.csv has no column 'offset'"):
        dataset.source()
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(ReidbenchError, match=r"metadata.csv is missing"):
        dataset.source()


def test_a_table_that_is_no_csv(tmp_path: Path, dataset: Covid19) -> None:
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(ReidbenchError, match=r"metadata.csv"):
        dataset.source()


def test_no_image_at_all(tmp_path: Path, dataset: Covid19) -> None:
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(ReidbenchError, match="holds no frontal X-ray"):
        dataset.source()


def test_shares_are_options(dataset: Covid19) -> None:
    everyone = Covid19(root=dataset.root, val_share=0, test_share=0).source().frame
    assert set(everyone["split"]) == {"train"}
    with pytest.raises(ReidbenchError, match="leave no patient to train on"):
        Covid19(root=dataset.root, val_share=0.5, test_share=0.5).source()


@pytest.mark.data
def test_real_collection(real_data: Path, tmp_path: Path) -> None:
    source = Covid19(root=real_data / "covid19").source()
    sizes = source.frame.groupby("patient_id").size()
    assert (len(source.frame), len(sizes)) == (477, 289)
    assert ((sizes > 1).sum(), sizes[sizes > 1].sum(), (sizes * (sizes - 1) // 2).sum()) == (109, 297, 309)
    assert source.notes[1].startswith("47 of 664 rows of metadata.csv name files that are not there")
    cohort = load_cohort(Covid19(root=real_data / "covid19"), size=32, cache=tmp_path)
    assert len(cohort) == 477, "every format and colour mode of the collection decodes"
    there = counts(cohort.frame)
    assert sum(part["positive_pairs"] for part in there.values()) == 309
    assert min(part["positive_pairs"] for part in there.values()) > 20
