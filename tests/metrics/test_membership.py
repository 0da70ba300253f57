"""Membership figures by hand, and the one-run audit against direct simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reidbench import metrics


def test_figures_of_a_hand_made_attack():
    # Members 4, 3, 1 against others 2, 0: 5 of 6 pairs in order; above the highest other stand 2 of 3 members.
    found = metrics.bootstrap_membership([4, 3, 1, 2, 0], [1, 1, 1, 0, 0], fprs=(0.0, 0.5), runs=200, seed=1)
    assert found.auc.value == pytest.approx(5 / 6)
    assert found.tpr_at_fpr[0.0].value == pytest.approx(2 / 3)
    assert found.tpr_at_fpr[0.5].value == pytest.approx(1)
    assert found.auc.low <= found.auc.value <= found.auc.high


def test_several_models_count_by_the_mean_of_their_figures():
    # 5 of 6 pairs in order in one model, 3 of 6 in the other, of other members.
    scores = [[4, 3, 1, 2, 0], [4, 3, 1, 2, 0]]
    member = [[1, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    found = metrics.bootstrap_membership(scores, member, fprs=(0.0,), runs=200, seed=1)
    assert found.auc.value == pytest.approx((5 / 6 + 3 / 6) / 2)
    assert found.tpr_at_fpr[0.0].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    alone = metrics.bootstrap_membership(scores[0], member[0], fprs=(0.0,), runs=200, seed=1)
    stacked = metrics.bootstrap_membership(scores[:1], member[:1], fprs=(0.0,), runs=200, seed=1)
    assert stacked.auc == alone.auc
    assert stacked.tpr_at_fpr[0.0].value == alone.tpr_at_fpr[0.0].value
    with pytest.raises(ValueError, match=r"scores \(2, 5\) and member \(5,\)"):
        metrics.bootstrap_membership(scores, member[0], fprs=())


def test_a_patient_is_one_draw_in_all_models():
    # The same model three times is no more evidence than once: the interval is as wide.
    rng = np.random.default_rng(2)
    scores, member = np.r_[rng.normal(1, 1, 60), rng.normal(0, 1, 50)], np.arange(110) < 60
    once = metrics.bootstrap_membership(scores, member, fprs=(), runs=300)
    thrice = metrics.bootstrap_membership([scores] * 3, [member] * 3, fprs=(), runs=300)
    assert (thrice.auc.low, thrice.auc.high) == pytest.approx((once.auc.low, once.auc.high))


def test_without_members_nothing_is_defined():
    found = metrics.bootstrap_membership([1.0, 2.0], [0, 0], fprs=(0.01,), runs=10)
    assert np.isnan(found.auc.value)
    assert np.isnan(found.tpr_at_fpr[0.01].value)


def test_few_held_out_patients_give_a_share_of_members_and_no_interval_of_it():
    rng = np.random.default_rng(1)
    scores, member = np.r_[rng.normal(1, 1, 200), rng.normal(0, 1, 150)], np.arange(350) < 200
    found = metrics.bootstrap_membership(scores, member, fprs=(0.01, 0.1), runs=50)
    few, enough = found.tpr_at_fpr[0.01], found.tpr_at_fpr[0.1]
    assert few.value == metrics.tpr_at_fpr(scores, member, 0.01)
    assert np.isnan([few.low, few.high]).all()
    assert few.why_unbounded == "150 held-out patients are too few for an interval at 1 % FPR, 1,000 are needed"
    assert enough.low < enough.value < enough.high
    assert enough.why_unbounded is None


def test_the_interval_of_patients_covers_the_true_area():
    rng, inside = np.random.default_rng(0), 0
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for trial in range(100):
        scores = np.r_[rng.normal(1, 1, 80), rng.normal(0, 1, 60)]
        found = metrics.bootstrap_membership(scores, np.r_[np.ones(80), np.zeros(60)], fprs=(), runs=200, seed=trial)
        inside += found.auc.low <= truth <= found.auc.high
    assert inside >= 88


def test_lira_is_the_ratio_of_two_normal_densities():
    included = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    shadows = np.array([[3.0, 1.0], [5.0, 3.0], [0.0, 6.0], [2.0, 4.0]])
    # Patient 0: in 4, out 1; patient 1: in 5, out 2; each deviation is the root of 4 squares of 1 over 2 free ones.
    spread = np.sqrt(2.0)
    expected = stats.norm.logpdf([2.0, 7.0], [4, 5], spread) - stats.norm.logpdf([2.0, 7.0], [1, 2], spread)
    np.testing.assert_allclose(metrics.likelihood_ratios([2.0, 7.0], shadows, included), expected)


def test_lira_lends_a_missing_mean_from_the_others():
    included = np.array([[1, 1, 0], [0, 1, 0]])
    shadows = np.array([[4.0, 10.0, 5.0], [1.0, 10.0, 5.0]])
    ratios = metrics.likelihood_ratios([4.0, 10.0, 5.0], shadows, included)
    # Only patient 0 was in and out, 3 apart: patient 1 would be at 7 without training, patient 2 at 8 with it.
    assert ratios[0] > 0
    assert ratios[1] > 0
    assert ratios[2] < 0
    assert metrics.likelihood_ratios([1.0], [[1.0]], [[1]]).tolist() == [0.0]


@pytest.mark.parametrize(
    ("target", "shadows", "included"),
    [([1.0], [[1.0, 2.0]], [[1, 0]]), ([1.0], [], []), ([1.0], [[np.nan]], [[1]]), ([np.nan], [[1.0]], [[1]])],
)
def test_lira_refuses_what_does_not_fit(target, shadows, included):
    with pytest.raises(ValueError, match=r"shadows|NaN"):
        metrics.likelihood_ratios(target, shadows, included)


def test_the_surest_guesses_are_half_and_half():
    assert metrics.guess_members([0.1, 0.9, 0.5, 0.7, 0.0], 4).tolist() == [-1, 1, 0, 1, -1]
    assert metrics.guess_members([0.1, 0.9, 0.5], 3).tolist() == [-1, 1, 0]
    assert metrics.guess_members([1.0, 2.0], 0).tolist() == [0, 0]
    with pytest.raises(ValueError, match="3 guesses of 2"):
        metrics.guess_members([1.0, 2.0], 3)


def test_without_delta_the_p_value_is_the_binomial_tail():
    chance = np.exp(1.5) / (1 + np.exp(1.5))
    assert metrics.one_run_p_value(9, 10, 20, 1.5, 0.0) == pytest.approx(10 * chance**9 * (1 - chance) + chance**10)
    assert metrics.one_run_p_value(0, 10, 20, 1.5, 0.0) == 1.0
    # By hand: 1 guess, right, at epsilon 0: 1/2, and delta lifts what lies just below, 1/2, for each of 2 candidates.
    assert metrics.one_run_p_value(1, 1, 2, 0.0, 0.05) == pytest.approx(0.5 + 2 * 2 * 0.05 * 0.5)


def test_the_bound_is_where_the_p_value_crosses():
    bound = metrics.epsilon_lower_bound(95, 100, 200, delta=1e-4)
    assert 2.0 < bound < np.log(95 / 5)
    assert metrics.one_run_p_value(95, 100, 200, bound, 1e-4) <= 0.05
    assert metrics.one_run_p_value(95, 100, 200, bound + 1e-3, 1e-4) > 0.05
    assert metrics.epsilon_lower_bound(50, 100, 200, delta=0.0) == 0.0
    assert metrics.epsilon_lower_bound(95, 100, 200, delta=1e-2) < bound
    assert metrics.epsilon_lower_bound(95, 100, 200, delta=1e-4, level=0.999) < bound


def test_randomized_response_is_seldom_refused_its_own_epsilon():
    # The mechanism for which the theorem is tight: each coin is told as it fell with chance e^eps / (1 + e^eps).
    rng, epsilon = np.random.default_rng(3), 1.0
    right = rng.binomial(200, np.exp(epsilon) / (1 + np.exp(epsilon)), 400)
    counts, times = np.unique(right, return_counts=True)
    bounds = np.repeat([metrics.epsilon_lower_bound(int(v), 200, 200, delta=0.0) for v in counts], times)
    assert np.mean(bounds > epsilon) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert bounds.mean() > 0.6


@pytest.mark.parametrize(
    "numbers", [(2, 1, 3, 1.0, 0.0), (1, 4, 3, 1.0, 0.0), (1, 2, 3, -1.0, 0.0), (1, 2, 3, 1.0, 2.0)]
)
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match=r"correct of|epsilon"):
        metrics.one_run_p_value(*numbers)
