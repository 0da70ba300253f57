"""Published pair lists: names and labels of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.notes import with_names
from reidbench.cohorts.pairing.listed import read_pair_list
from reidbench.errors import ReidbenchError


@pytest.fixture
def frame(cohort_frame: Callable[[list[int]], pd.DataFrame]) -> pd.DataFrame:
    return cohort_frame([0, 0, 1, 1, 2])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_pairs_keep_the_order_of_the_file(tmp_path: Path, frame: pd.DataFrame) -> None:
    pairs = read_pair_list(write(tmp_path / "p.txt", "i0\ti1\t1\ni4\ti0\t0\ni2\ti3\t1.0\n"), frame)
    np.testing.assert_array_equal(pairs.a, [0, 4, 2])
    np.testing.assert_array_equal(pairs.b, [1, 0, 3])
    np.testing.assert_array_equal(pairs.same, [True, False, True])
    assert pairs.notes == ()


def test_names_that_are_not_there_are_counted(tmp_path: Path, frame: pd.DataFrame) -> None:
    pairs = read_pair_list(write(tmp_path / "p.txt", "i0\ti1\t1\ni0\ti2\t0\ni9\ti1\t0\ni8\ti9\t0"), frame)
    assert len(pairs) == 2
    assert pairs.notes == ("the list of pairs: 2 of 4 pairs name images that are not there (2 names) and are left out",)
    assert with_names(pairs.notes[0]).endswith("left out: the first is 'i9'")


def test_labels_that_contradict_the_patients_are_left_out_and_counted(tmp_path: Path, frame: pd.DataFrame) -> None:
    pairs = read_pair_list(write(tmp_path / "p.txt", "i0\ti1\t1\ni0\ti2\t1\ni0\ti4\t0\n"), frame)
    np.testing.assert_array_equal(pairs.same, [True, False])
    assert "1 labels contradict" in pairs.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("i0\ti1\t1\ni0 i1 1\n", "line 2: want two image names and 1 or 0"),
        ("i0\ti1\tyes\n", "line 1: want"),
        ("i0\ti1\t1\n\ni0\ti2\t0\n", "line 2: want"),
        ("i0\ti1\t1\ti2\ni0\ti1\t1\n", "line 1: want"),
        ("x\ty\t1\n", "none of its 1 pairs"),
        ("i0\ti2\t0\n", r"no genuine pair \(label 1\)"),
        ("i0\ti1\t1\n", r"no impostor pair \(label 0\)"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, frame: pd.DataFrame, text: str, message: str) -> None:
    with pytest.raises(ReidbenchError, match=message):
        read_pair_list(write(tmp_path / "p.txt", text), frame)


def test_a_missing_list(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(ReidbenchError, match="no such pair list"):
        read_pair_list(tmp_path / "p.txt", frame)
