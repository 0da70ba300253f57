"""Verification figures against scikit-learn and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from reidbench.metrics import (
    equal_error_rate,
    roc_auc,
    roc_curve,
    threshold_at_fpr,
    threshold_metrics,
    tpr_at_fpr,
    why_undefined,
)
from reidbench.metrics.verification.curve import Curve, Ranking

# Few distinct scores, so that most examples are full of ties.
PAIRS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


# No deadline: a busy machine is no defect.
EXAMPLES = settings(max_examples=60, deadline=None)


def split(pairs: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs], dtype=float), np.array([same for _, same in pairs])


@EXAMPLES
@given(PAIRS)
def test_auc_is_scikit_learns(pairs):
    scores, same = split(pairs)
    assert roc_auc(scores, same) == pytest.approx(reference.roc_auc_score(same, scores), abs=1e-12)


@EXAMPLES
@given(PAIRS, st.data())
def test_weighted_auc_is_scikit_learns(pairs, data):
    scores, same = split(pairs)
    weights = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(same), max_size=len(same))), dtype=float)
    ranking = Ranking.of(scores, same)
    ours = Curve(ranking, weights[ranking.genuine], weights[ranking.impostor]).auc()
    if weights[same].sum() == 0 or weights[~same].sum() == 0:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(reference.roc_auc_score(same, scores, sample_weight=weights), abs=1e-12)


@EXAMPLES
@given(PAIRS)
def test_curve_is_scikit_learns(pairs):
    scores, same = split(pairs)
    fpr, tpr, thresholds = reference.roc_curve(same, scores, drop_intermediate=False)
    curve = roc_curve(scores, same)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@EXAMPLES
@given(PAIRS)
def test_equal_error_rate_lies_on_the_curve_where_both_errors_are_equal(pairs):
    scores, same = split(pairs)
    fpr, tpr, _ = reference.roc_curve(same, scores, drop_intermediate=False)
    eer = equal_error_rate(scores, same)
    # fpr + tpr rises strictly along the curve, so the crossing is where it equals 1.
    assert eer == pytest.approx(np.interp(1.0, fpr + tpr, fpr), abs=1e-12)
    assert 0 <= eer <= 1


@EXAMPLES
@given(PAIRS, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_tpr_at_fpr_is_the_expectation_over_random_order_among_ties(pairs, budget):
    scores, same = split(pairs)
    fpr, tpr, _ = reference.roc_curve(same, scores, drop_intermediate=False)
    last = np.flatnonzero(fpr <= budget)[-1]
    expected = tpr[last]
    if last + 1 < len(fpr):
        expected += (budget - fpr[last]) / (fpr[last + 1] - fpr[last]) * (tpr[last + 1] - tpr[last])
    assert tpr_at_fpr(scores, same, budget) == pytest.approx(expected, abs=1e-12)


def test_tpr_at_fpr_without_ties_is_the_step_of_the_literature():
    rng = np.random.default_rng(0)
    same = np.arange(5_000) % 2 == 0
    scores = rng.normal(size=5_000) + 2 * same
    fpr, tpr, _ = reference.roc_curve(same, scores, drop_intermediate=False)
    for budget in (0.0, 0.0001, 0.001, 0.01, 0.07, 0.29):
        assert tpr_at_fpr(scores, same, budget) == tpr[fpr <= budget].max()


def test_tpr_counts_every_impostor_that_the_budget_allows():
    # 0.29 × 100 is 28.999… in floating point; the 29th impostor must be allowed all the same.
    scores = np.r_[np.arange(100.0), 70.5]
    same = np.r_[np.zeros(100, bool), True]
    assert tpr_at_fpr(scores, same, 0.29) == 1.0
    assert tpr_at_fpr(scores, same, 0.28) == 0.0


def test_identical_scores_are_chance_and_not_the_order_of_the_file():
    scores, same = np.full(1_000, 0.3), np.arange(1_000) < 500
    assert roc_auc(scores, same) == 0.5
    assert equal_error_rate(scores, same) == 0.5
    assert tpr_at_fpr(scores, same, 0.01) == pytest.approx(0.01)


def test_perfect_and_inverted_scores():
    same = np.array([True, True, False, False])
    assert (roc_auc([4, 3, 2, 1], same), equal_error_rate([4, 3, 2, 1], same)) == (1.0, 0.0)
    assert (roc_auc([1, 2, 3, 4], same), equal_error_rate([1, 2, 3, 4], same)) == (0.0, 1.0)
    assert tpr_at_fpr([4, 3, 2, 1], same, 0.0) == 1.0
    assert tpr_at_fpr([1, 2, 3, 4], same, 0.5) == 0.0


def test_worked_example():
    # Falling: + - + (+-) -; 9 comparisons, lost: 0, 1, 1 and half of the tied one with 1 before.
    scores, same = [6, 5, 4, 3, 3, 1], [1, 0, 1, 1, 0, 0]
    assert roc_auc(scores, same) == pytest.approx((3 + 2 + 1.5) / 9)
    # From (1/3, 2/3) on, 1 - tpr = fpr: the point itself.
    assert equal_error_rate(scores, same) == pytest.approx(1 / 3)
    assert tpr_at_fpr(scores, same, 1 / 3) == pytest.approx(2 / 3)
    assert tpr_at_fpr(scores, same, 1 / 2) == pytest.approx(5 / 6)


@EXAMPLES
@given(PAIRS, st.randoms(use_true_random=False))
def test_order_and_monotone_rescaling_change_nothing(pairs, random):
    scores, same = split(pairs)
    order = list(range(len(scores)))
    random.shuffle(order)
    for moved, moved_same in ((scores[order], same[order]), (np.arctan(scores) * 3 - 7, same)):
        assert roc_auc(moved, moved_same) == roc_auc(scores, same)
        assert equal_error_rate(moved, moved_same) == equal_error_rate(scores, same)
        assert tpr_at_fpr(moved, moved_same, 0.1) == tpr_at_fpr(scores, same, 0.1)


@EXAMPLES
@given(PAIRS, st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0]))
def test_calibrated_threshold_keeps_its_promise_and_is_the_lowest_that_does(pairs, budget):
    scores, same = split(pairs)
    threshold = threshold_at_fpr(scores, same, budget)
    assert (scores[~same] >= threshold).mean() <= budget
    for lower in scores[scores < threshold]:
        assert (scores[~same] >= lower).mean() > budget


def test_threshold_is_infinite_when_even_the_highest_score_accepts_too_many():
    assert threshold_at_fpr([1, 1, 1], [True, False, False], 0.1) == np.inf
    accepted_none = threshold_metrics([1, 1, 1], [True, False, False], np.inf)
    assert (accepted_none.recall, accepted_none.specificity) == (0.0, 1.0)
    assert np.isnan(accepted_none.precision)


@EXAMPLES
@given(PAIRS, st.integers(-4, 4))
def test_threshold_metrics_are_scikit_learns(pairs, threshold):
    scores, same = split(pairs)
    ours = threshold_metrics(scores, same, threshold)
    accepted = scores >= threshold
    (tn, fp), (fn, tp) = reference.confusion_matrix(same, accepted, labels=[False, True])
    counts = (ours.true_negatives, ours.false_positives, ours.false_negatives, ours.true_positives)
    assert counts == (tn, fp, fn, tp)
    assert ours.accuracy == pytest.approx(reference.accuracy_score(same, accepted))
    assert ours.recall == pytest.approx(reference.recall_score(same, accepted))
    assert ours.specificity == pytest.approx(reference.recall_score(~same, ~accepted))
    assert ours.f1 == pytest.approx(reference.f1_score(same, accepted))
    if accepted.any():
        assert ours.precision == pytest.approx(reference.precision_score(same, accepted))
    else:
        assert np.isnan(ours.precision)


@pytest.mark.parametrize(
    ("same", "reason"),
    [([], "no pairs"), ([True, True], "no pair of two patients"), ([False], "no pair of one patient"), ([0, 1], None)],
)
def test_missing_kinds_of_pairs_give_nan_with_a_reason(same, reason):
    scores = np.arange(len(same), dtype=float)
    assert why_undefined(same) == reason
    for value in (roc_auc(scores, same), equal_error_rate(scores, same), tpr_at_fpr(scores, same, 0.01)):
        assert np.isnan(value) == (reason is not None)


def test_threshold_metrics_of_nothing_are_nan():
    empty = threshold_metrics([], [])
    ratios = (empty.accuracy, empty.specificity, empty.recall, empty.precision, empty.f1)
    assert np.isnan(ratios).all()
    only_impostors = threshold_metrics([0.9, 0.1], [False, False])
    assert only_impostors.accuracy == 0.5
    assert np.isnan([only_impostors.recall, only_impostors.f1]).all()
    assert np.isnan(threshold_at_fpr([0.3], [True], 0.1))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="1 NaN of 2"):
        roc_auc([0.1, np.nan], [True, False])
    with pytest.raises(ValueError, match="shape"):
        roc_auc([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="one-dimensional"):
        roc_auc([[0.1, 0.2]], [[True, False]])
    with pytest.raises(ValueError, match="booleans"):
        roc_auc([0.1, 0.2], [2, 0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        tpr_at_fpr([0.1, 0.2], [True, False], 1.5)
    with pytest.raises(ValueError, match="calibrate"):
        threshold_metrics([0.1, 0.2], [True, False], float("nan"))
