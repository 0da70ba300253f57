"""Copies of patients among published images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from reidbench.metrics import copies, copy_shares


def grey(*levels: float) -> np.ndarray:
    return np.array(levels)[:, None].repeat(16, 1)


def test_copies_are_counted_by_patient() -> None:
    """Grey images: distances are differences of levels."""
    known, patients = grey(10, 100, 200, 50), np.array([4, 7, 9, 4])
    # The nearest of other people: 30 from patient 4 (80), 20 from 7 (80), 40 from 9 (240).
    others = grey(80, 240)
    # 55 and 12 copy patient 4, 100 patient 7; 240 is as far from 9 as one of the others, and is no copy.
    np.testing.assert_array_equal(copy_shares(grey(55, 12, 100, 240), known, patients, others), [2 / 4, 1 / 4, 0])
    assert copy_shares(known, known, patients, others).min() > 0, "known images themselves are copies"
    assert copy_shares(others, known, patients, others).max() == 0, "those of others never are"


def test_images_that_know_nothing_copy_each_patient_by_chance() -> None:
    rng = np.random.default_rng(0)
    known, made = rng.normal(size=(300, 8)), rng.normal(size=(400, 8))
    others = rng.normal(size=(9, 8))
    assert copy_shares(made, known, np.arange(300), others).mean() == pytest.approx(1 / 10, abs=0.02)


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_any_block_gives_what_all_distances_give(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "BLOCK", block)
    rng = np.random.default_rng(1)
    known, made, others = (rng.normal(size=(count, 5)) + 100 for count in (60, 40, 6))
    patients = rng.integers(0, 12, 60)
    near, far = pairwise_distances(known, made), pairwise_distances(known, others)
    expected = [(near[mine].min(0) < far[mine].min()).mean() for p in np.unique(patients) for mine in [patients == p]]
    np.testing.assert_allclose(copy_shares(made, known, patients, others), expected)
