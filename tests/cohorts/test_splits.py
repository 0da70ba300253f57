"""Splits by hash of patient, and the refusal of shared patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidbench.cohorts.splits import by_patient, position, require_disjoint, with_validation
from reidbench.errors import ReidbenchError

SHARES = {"train": 0.6, "val": 0.1, "test": 0.3}
patient_lists = st.lists(st.text(min_size=1, max_size=5) | st.integers(0, 10**12), max_size=40)


def table(patients: list[object], splits: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": pd.Series(patients, dtype=object), "split": splits})


@given(patient_lists, patient_lists)
def test_adding_patients_moves_none(patients: list[object], more: list[object]) -> None:
    before = by_patient(pd.Series(patients, dtype=object), SHARES, salt="s")
    after = by_patient(pd.Series([*more, *patients], dtype=object), SHARES, salt="s")
    assert list(before) == list(after.iloc[len(more) :])


@given(patient_lists)
def test_every_patient_is_in_one_split(patients: list[object]) -> None:
    splits = by_patient(pd.Series([*patients, *patients], dtype=object), SHARES, salt="s")
    assert set(splits) <= set(SHARES)
    require_disjoint(table([*patients, *patients], list(splits)), "any")


def test_shares_come_out_as_asked() -> None:
    splits = by_patient(pd.Series(range(20_000)), SHARES, salt="s")
    shares = splits.value_counts(normalize=True)
    for name, share in SHARES.items():
        assert shares[name] == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000))


def test_two_salts_are_independent() -> None:
    patients = pd.Series(range(20_000))
    first = by_patient(patients, {"train": 0.5, "test": 0.5}, salt="a")
    second = by_patient(patients, {"train": 0.5, "test": 0.5}, salt="b")
    assert (first == second).mean() == pytest.approx(0.5, abs=0.02)


def test_a_hash_is_the_same_on_every_machine() -> None:
    # A changed hash would silently mix the test patients of old and new records.
    assert position("patient00001", "validation") == pytest.approx(0.1008753, abs=1e-7)
    assert position(1, "s") == position("1", "s")


def test_a_share_of_zero_gets_nobody() -> None:
    splits = by_patient(pd.Series(range(1000)), {"train": 1.0, "val": 0.0, "test": 0.0}, salt="s")
    assert set(splits) == {"train"}


@pytest.mark.parametrize("shares", [{"train": 0.5, "test": 0.4}, {"train": 1.5, "test": -0.5}])
def test_impossible_shares(shares: dict[str, float]) -> None:
    with pytest.raises(ReidbenchError, match="make 1"):
        by_patient(pd.Series([1]), shares, salt="s")


def test_a_shared_patient_is_named_with_its_splits() -> None:
    frame = table([1, 2, 1, 3, 3], ["test", "train", "train", "val", "test"])
    with pytest.raises(
        ReidbenchError, match=r"mine: patient 1 is in train and test \(and 1 more patients are shared\)"
    ):
        require_disjoint(frame, "mine")


def test_validation_is_taken_from_train_alone_and_said() -> None:
    frame = table([p for p in range(300) for _ in range(2)], ["train"] * 400 + ["test"] * 200)
    result, note = with_validation(frame)
    moved = result["split"] == "val"
    assert (frame.loc[moved, "split"] == "train").all()
    assert (result.loc[~moved, "split"] == frame.loc[~moved, "split"]).all()
    require_disjoint(result, "any")
    assert 3 <= moved.sum() / 2 <= 22
    assert note is not None
    assert f"{moved.sum()} images of {moved.sum() // 2} patients were taken from train" in note
    assert (frame["split"] != "val").all(), "the given table must stay as it is"


def test_validation_that_is_there_stays() -> None:
    frame = table([1, 2, 3], ["train", "val", "test"])
    result, note = with_validation(frame)
    assert result is frame
    assert note is None


def test_no_train_part_to_take_validation_from() -> None:
    assert with_validation(table([1], ["test"]))[1] is None
    _, note = with_validation(table([1, 2], ["train", "test"]))
    assert note is not None
    assert "too few" in note
