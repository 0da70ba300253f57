"""The user's copies of the data: scaled down by whole patients, and said to be what share of the whole."""

from __future__ import annotations

import pandas as pd
import pytest

from reidbench import ReidbenchError
from reidbench.cohorts.load import prepared
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.studies.paper.data import limit_patients, percent, split_shares, with_foreign_material


@pytest.fixture(scope="module")
def source():
    return prepared(Phantom(patients=80).source(), "phantom")


def patients(frame: pd.DataFrame) -> dict[str, set[str]]:
    return {split: set(part["patient_id"]) for split, part in frame.groupby("split")}


def test_a_limit_keeps_whole_patients_of_every_split(source):
    limited = limit_patients(source, 5)
    assert {split: len(ids) for split, ids in patients(limited.frame).items()} == {"train": 5, "val": 5, "test": 5}
    kept = set(limited.frame["patient_id"])
    assert len(limited.frame) == int(source.frame["patient_id"].isin(kept).sum())
    assert limited.whole is source.frame
    assert limit_patients(source, None) is source
    assert len(limit_patients(source, 10_000).frame) == len(source.frame)


def test_a_larger_limit_adds_patients_and_loses_none(source):
    few, more = (patients(limit_patients(source, limit).frame) for limit in (4, 7))
    assert all(few[split] < more[split] for split in few)
    shuffled = source.frame.sample(frac=1, random_state=0)
    again = patients(limit_patients(type(source)(shuffled, source.labels), 4).frame)
    assert again == few


def test_a_limit_that_leaves_no_impostor_is_refused(source):
    with pytest.raises(ReidbenchError, match="--limit 1: at least 2 patients"):
        limit_patients(source, 1)


def test_foreign_material_comes_from_a_file_and_is_unknown_where_the_file_is_silent(source, tmp_path):
    names = source.frame["image_id"].iloc[:3].tolist()
    path = tmp_path / "foreign.csv"
    path.write_text("image_id,foreign_material\n" + f"{names[0]},1\n{names[1]},0\nelsewhere,1\n")
    told = with_foreign_material(source, path).frame["foreign_material"]
    assert told.iloc[:2].tolist() == [1.0, 0.0]
    assert told.iloc[2:].isna().all()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "not a readable CSV"),
        ("", "not a readable CSV"),
        ("image_id,other\na,1\n", "no column 'foreign_material'"),
        ("image_id,foreign_material\na,yes\n", "'yes' is neither 0 nor 1"),
        ("image_id,foreign_material\nelsewhere,1\n", "names none of the images"),
    ],
)
def test_a_file_that_tells_nothing_is_refused(source, tmp_path, text, what):
    path = tmp_path / "foreign.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReidbenchError, match=what):
        with_foreign_material(source, path)


def test_the_share_of_the_papers_data_is_said_of_the_papers_dataset_alone(source):
    class Like:
        name = "chestxray14"
        frame = source.frame

    lines = split_shares(Like())
    train = source.frame[source.frame["split"] == "train"]
    assert lines[0] == (
        f"train: {len(train):,} images of {train['patient_id'].nunique():,} patients; the paper: 75,708 of 24,154 "
        f"({percent(len(train), 75_708)} of its images)"
    )
    Like.name = "phantom"
    assert "paper" not in " ".join(split_shares(Like()))
    assert percent(1, 0) == "–"
