"""Curves in columns: the same figures, to the last bit, as curves in rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidbench.metrics.verification import bootstrap
from reidbench.metrics.verification.columns import Columns, running_sums
from reidbench.metrics.verification.curve import Curve, Ranking

FPRS = (0.0, 0.001, 0.01, 0.3, 1.0)


def drawn(seed: int, levels: int):
    """Scored pairs of a few patients, with ties where there are few levels."""
    rng = np.random.default_rng(seed)
    patients, genuine, impostor = int(rng.integers(2, 40)), int(rng.integers(1, 80)), int(rng.integers(1, 80))
    mine, first = rng.integers(0, patients, genuine), rng.integers(0, patients, impostor)
    second = (first + rng.integers(1, patients, impostor)) % patients
    a, b = np.r_[mine, first], np.r_[mine, second]
    scores = rng.integers(0, levels, genuine + impostor) + 2.0 * (a == b) * rng.integers(0, 2)
    return scores, a == b, a, b


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 10**6]))
@settings(max_examples=60, deadline=None)
def test_every_figure_is_that_of_a_curve_by_itself(seed, levels):
    scores, same, _, _ = drawn(seed, levels)
    ranking = Ranking.of(scores, same)
    rng = np.random.default_rng(seed)
    # Some curves have no genuine or no impostor pair at all.
    genuine = rng.integers(0, 4, (same.sum(), 9)).astype(np.uint16) * (rng.random(9) < 0.8).astype(np.uint16)
    impostor = rng.integers(0, 4, ((~same).sum(), 9)).astype(np.uint16) * (rng.random(9) < 0.8).astype(np.uint16)
    columns = Columns(ranking, genuine, running_sums(impostor))
    rows = [Curve(ranking, genuine[:, i].astype(float), impostor[:, i].astype(float)) for i in range(9)]
    with np.errstate(invalid="ignore"):
        assert np.array_equal(columns.auc(), [row.auc() for row in rows], equal_nan=True)
        # Where one kind of pair is missing, no bootstrap asks for the other figures by themselves.
        known = ~np.isnan(columns.auc())
        assert np.array_equal(columns.eer()[known], [row.eer() for row, ok in zip(rows, known) if ok])
        for fpr in FPRS:
            assert np.array_equal(columns.tpr_at(fpr)[known], [row.tpr_at(fpr) for row, ok in zip(rows, known) if ok])


@pytest.mark.parametrize("seed", range(12))
def test_intervals_are_the_same_in_rows_and_in_columns(seed, monkeypatch):
    scores, same, a, b = drawn(seed, (2, 5, 10**6)[seed % 3])
    runs = (1, 50, 51, 333)[seed % 4]
    found = []
    for most in (bootstrap.MOST_PAIRS, 0):
        monkeypatch.setattr(bootstrap, "MOST_PAIRS", most)
        found.append(
            repr(
                (
                    bootstrap.bootstrap_verification_patients(scores, same, a, b, fprs=FPRS, runs=runs, seed=seed),
                    bootstrap.bootstrap_auc_pairs(scores, same, runs=runs, seed=seed),
                    bootstrap.bootstrap_auc_drop_patients(scores, scores[::-1], same, a, b, runs=runs, seed=seed),
                )
            )
        )
    assert found[0] == found[1]


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(OverflowError, match="32 bits"):
        running_sums(np.full((40_000, 1), 65_535, dtype=np.uint16))


def test_products_that_pass_32_bits_are_exact():
    ranking = Ranking.of(np.r_[np.zeros(1), np.ones(600)], np.r_[True, np.zeros(600, bool)])
    genuine, impostor = np.full((1, 1), 65_000, dtype=np.uint16), np.full((600, 1), 30_000, dtype=np.uint16)
    columns = Columns(ranking, genuine, running_sums(impostor))
    assert columns.auc()[0] == 0.0


def test_a_resample_without_impostor_pairs_has_no_true_positive_rate():
    # Beside a resample that has some, since a stack without any is caught at once.
    ranking = Ranking.of([3, 2, 1, 0.0], [True, False, True, False])
    genuine, impostor = np.ones((3, 2)), np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    stack = Curve(ranking, genuine, impostor).tpr_at(0.1)
    assert np.isnan(stack[0])
    assert stack[1:].tolist() == [0.5, 0.5]
    columns = Columns(ranking, genuine.T.astype(np.uint16), running_sums(impostor.T.astype(np.uint16)))
    np.testing.assert_array_equal(columns.tpr_at(0.1), stack)
