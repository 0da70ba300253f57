"""Spearman's rank correlation and its bootstrap, against scipy and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, spearmanr

from reidbench.metrics import bootstrap_spearman, spearman

FEW_VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=2, max_size=30)


@given(FEW_VALUES)
def test_it_is_that_of_scipy_ties_included(pairs):
    a, b = np.array(pairs, float).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert np.isnan(spearman(a, b))
    else:
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_known_answers():
    assert spearman([1, 2, 3], [10, 20, 30]) == 1
    assert spearman([1, 2, 3], [3, 2, -5]) == -1
    # One exchange of neighbours among four: 1 - 6 * 2 / (4 * 15).
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert np.isnan(spearman([], []))
    assert np.isnan(spearman([1], [2]))


def test_the_interval_is_that_of_scipy_s_bootstrap_over_subjects():
    rng = np.random.default_rng(4)
    a = rng.normal(size=25)
    b = a + rng.normal(size=25)
    found = bootstrap_spearman(a, b, runs=20_000, seed=1)
    wanted = bootstrap(
        (a, b),
        lambda x, y: spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2_000,
        method="percentile",
        rng=rng,
    ).confidence_interval
    assert found.value == spearman(a, b)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.03)
    assert bootstrap_spearman(a, b, runs=20_000, seed=1) == found
    assert bootstrap_spearman(a, b, runs=20_000, seed=2) != found


def test_too_few_subjects_have_no_interval_and_say_so():
    found = bootstrap_spearman([1, 2, 3, 4], [1, 3, 2, 4])
    assert found.value == pytest.approx(0.8)
    assert np.isnan([found.low, found.high]).all()
    assert found.why_unbounded == "4 subjects are too few to resample"
    assert bootstrap_spearman([], []).why_unbounded is None


def test_resamples_in_which_one_side_is_constant_are_left_out():
    # Four of five subjects are equal on one side: a third of the resamples has nothing else.
    found = bootstrap_spearman([0, 0, 0, 0, 1], [1, 2, 3, 4, 5])
    assert found.value == pytest.approx(spearmanr([0, 0, 0, 0, 1], [1, 2, 3, 4, 5]).statistic)
    assert found.low > 0
    assert found.high <= 1


@pytest.mark.parametrize("wrong", [([1, 2], [1]), ([1, np.nan], [1, 2]), ([[1, 2]], [[1, 2]])])
def test_what_is_no_pair_of_figures_is_refused(wrong):
    with pytest.raises(ValueError, match=r"figures of each subject|not finite"):
        spearman(*wrong)


@pytest.mark.parametrize(
    ("other", "value", "how"), [([2, 3, 5, 7, 11], 1, "alike"), ([9, 8, 7, 6, 5], -1, "oppositely")]
)
def test_one_order_of_all_subjects_says_nothing_of_others(other, value, how):
    found = bootstrap_spearman([1, 2, 3, 4, 5], other, runs=100)
    assert found.value == pytest.approx(value)
    assert np.isnan([found.low, found.high]).all()
    assert f"ordered {how}" in found.why_unbounded
