"""From a dataset to a cohort: what is refused, what is said, what its revision names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.base import Cohort, Dataset, Source
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.table import counts, table_digest
from reidbench.errors import ReidbenchError


class Given(Dataset):
    """Any table; row n is an image of value n."""

    name: ClassVar[str] = "given"
    columns: dict[str, list[Any]]
    labels: tuple[str, ...] = ()

    def source(self) -> Source:
        return Source(pd.DataFrame(self.columns), self.labels, ("a note of its own",))

    def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
        return np.stack([np.full((size, size), int(image_id[1:]), dtype=np.uint8) for image_id in rows["image_id"]])


def given(labels: tuple[str, ...] = (), drop: str | None = None, **columns: list[Any]) -> Given:
    """Six images of three patients, one in each split, with some columns replaced."""
    table: dict[str, list[Any]] = {
        "image_id": ["i0", "i1", "i2", "i3", "i4", "i5"],
        "patient_id": [30, 30, 20, 20, 10, 10],
        "split": ["test", "test", "val", "val", "train", "train"],
        **columns,
    }
    table.pop(drop, None)
    return Given(columns=table, labels=labels)


def load(dataset: Dataset, cache: Path, **options: Any) -> Cohort:
    return load_cohort(dataset, size=16, cache=cache, **options)


def test_rows_and_pixels_belong_together_and_splits_are_runs(tmp_path: Path) -> None:
    cohort = load(given(), tmp_path)
    assert list(cohort.frame["split"]) == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert list(cohort.frame["image_id"]) == ["i4", "i5", "i2", "i3", "i0", "i1"]
    np.testing.assert_array_equal(cohort.pixels[:, 0, 0], [4, 5, 2, 3, 0, 1])
    np.testing.assert_array_equal(cohort.frame["patient"], [0, 0, 1, 1, 2, 2])
    assert cohort.frame["patient"].dtype == np.int64
    assert cohort.notes == ("a note of its own",)
    assert (cohort.name, cohort.size, len(cohort)) == ("given", 16, 6)


def test_a_part_is_a_view_of_the_mapped_file(tmp_path: Path) -> None:
    cohort = load(given(), tmp_path)
    part = cohort.part("test")
    assert np.shares_memory(part.pixels, cohort.pixels)
    np.testing.assert_array_equal(part.pixels[:, 0, 0], [0, 1])
    np.testing.assert_array_equal(part.frame["patient"], [0, 0])
    assert part.revision == cohort.revision
    assert len(load(given(split=["train"] * 6), tmp_path).part("test")) == 0


def test_identifiers_beyond_float32_stay_apart(tmp_path: Path) -> None:
    patients = [2**24, 2**24 + 1, 2**24 + 2, 2**24 + 3, 5, 6]
    cohort = load(given(patient_id=patients), tmp_path)
    assert cohort.frame["patient"].nunique() == 6


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        pytest.param(given(drop="patient_id"), "given: the table has no column 'patient_id'", id="missing column"),
        pytest.param(given(labels=("Mass",)), "no column 'Mass'", id="missing label"),
        pytest.param(given(image_id=["i0"] * 6), "image 'i0' comes more than once", id="duplicated name"),
        pytest.param(given(patient_id=[1, 2, None, 3, 4, 5]), "image 'i2' has no patient", id="no patient"),
        pytest.param(given(patient_id=[1, 1, 1, 2, 3, 3]), "patient 1 is in val and test;", id="shared patient"),
        pytest.param(given(split=["dev"] * 6), "has split 'dev', which is none of train, val, test", id="split"),
        pytest.param(given(sex=["M", "F", None, "X", "M", "M"]), "image 'i3' has sex 'X'", id="sex"),
        pytest.param(given(view=["PA", "AP", "PA", "PA", "PA", "LL"]), "image 'i5' has view 'LL'", id="view"),
        pytest.param(given(age=["young"] * 6), "column 'age' must hold numbers", id="age"),
        pytest.param(given(labels=("Mass",), Mass=[0, 1, 2, 0, 0, 0]), "image 'i2' has Mass '2.0'", id="label value"),
        pytest.param(Given(columns={"image_id": [], "patient_id": [], "split": []}), "there is no image", id="empty"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, dataset: Dataset, message: str) -> None:
    with pytest.raises(ReidbenchError, match=message):
        load(dataset, tmp_path)
    assert not any(tmp_path.iterdir()), "nothing half-written"


def test_unreadable_images_are_named_and_left_out(tmp_path: Path, pictures: Dataset) -> None:
    (pictures.root / "t1_0.png").write_bytes(b"")
    (pictures.root / "e4_1.png").write_bytes(b"no image")
    for _ in range(2):
        cohort = load(pictures, tmp_path / "cache")
        assert len(cohort) == len(cohort.pixels) == 8
        assert not {"t1_0.png", "e4_1.png"} & set(cohort.frame["image_id"])
        assert cohort.notes[-1] == "2 of 10 images cannot be read and are left out"
        assert with_names(cohort.notes[-1]) == (
            "2 of 10 images cannot be read and are left out: t1_0.png (the file is empty); e4_1.png (not an image file)"
        )


def test_strict_refuses_unreadable_images_every_time(tmp_path: Path, pictures: Dataset) -> None:
    (pictures.root / "t1_0.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(
            ReidbenchError, match=r"pictures: 1 of 10 images cannot be read: t1_0.png \(the file is empty\)"
        ):
            load(pictures, tmp_path / "cache", strict=True)


def test_many_unreadable_images_make_one_line(tmp_path: Path, pictures: Dataset) -> None:
    for number in range(20):
        (pictures.root / f"t9_{number}.png").write_bytes(b"")
    [note] = [note for note in load(pictures, tmp_path / "cache").notes if "cannot be read" in note]
    assert with_names(note).endswith("; and 15 more")


def test_validation_is_taken_from_train_and_said(tmp_path: Path) -> None:
    ids = [f"i{row}" for row in range(100)]
    cohort = load(given(image_id=ids, patient_id=[row // 2 for row in range(100)], split=["train"] * 100), tmp_path)
    assert 0 < len(cohort.rows("val")) < 20
    assert any("were taken from train" in note for note in cohort.notes)


def test_revision_names_table_and_pixels(tmp_path: Path, pictures: Dataset, write_png: Callable[..., Path]) -> None:
    first = load(pictures, tmp_path / "a").revision
    assert len(first) == 64
    assert load(pictures, tmp_path / "b").revision == first, "another cache, the same cohort"
    assert load_cohort(pictures, size=32, cache=tmp_path / "a").revision != first
    moved = type(pictures)(root=pictures.root.rename(tmp_path / "elsewhere"))
    assert load(moved, tmp_path / "a").revision == first, "where the files lie is no property of the cohort"
    write_png(moved.root / "t1_0.png", seed=77)
    assert load(moved, tmp_path / "a").revision != first


def test_revision_changes_with_any_cell(tmp_path: Path) -> None:
    ages = [50.0, 51.0, 52.0, np.nan, 54.0, 55.0]
    tables = [given(), given(age=ages), given(age=[*ages[:5], 56.0]), given(patient_id=[31, 31, 20, 20, 10, 10])]
    assert len({load(dataset, tmp_path).revision for dataset in tables}) == len(tables)


def test_digest_knows_neither_paths_nor_the_order_of_columns() -> None:
    frame = pd.DataFrame({"image_id": ["a"], "age": [1.5], "path": ["/here/a.png"], "patient": [0]})
    other = frame[["path", "age", "image_id"]].assign(path="/there/a.png")
    assert table_digest(frame) == table_digest(other)


def test_counts() -> None:
    frame = pd.DataFrame({"patient_id": [1, 1, 1, 2, 3, 4, 4], "split": ["train"] * 4 + ["test"] * 3})
    empty = {"images": 0, "patients": 0, "multi_images": 0, "positive_pairs": 0}
    assert counts(frame) == {
        "train": {"images": 4, "patients": 2, "multi_images": 3, "positive_pairs": 3},
        "val": empty,
        "test": {"images": 3, "patients": 2, "multi_images": 2, "positive_pairs": 1},
    }
