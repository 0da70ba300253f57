"""The thinned ROC curve against scikit-learn's whole one, and its band."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn

from reidbench.metrics import (
    bootstrap_roc_patients,
    bootstrap_verification_patients,
    roc_points,
    roc_rates,
    tpr_at_fpr,
)
from reidbench.metrics.verification.curve import Ranking


def scored(seed, pairs=3000, digits=6, patients=50):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, patients, pairs)
    second = np.where(rng.random(pairs) < 0.4, first, rng.integers(0, patients, pairs))
    same = first == second
    return np.round(rng.normal(size=pairs) + 1.2 * same, digits), same, first, second


@pytest.mark.parametrize("digits", [6, 1, 0])
def test_every_point_lies_on_the_whole_curve_of_scikit_learn(digits):
    scores, same, *_ = scored(1, digits=digits)
    fpr, tpr, _ = sklearn.roc_curve(same, scores, drop_intermediate=False)
    points = roc_points(scores, same)
    # What a budget buys is the last point within it, and a share of the way to the next.
    within = np.searchsorted(fpr, points.fpr, side="right") - 1
    after = np.minimum(within + 1, len(fpr) - 1)
    step = fpr[after] - fpr[within]
    share = np.divide(points.fpr - fpr[within], step, out=np.zeros_like(step), where=step > 0)
    assert points.tpr == pytest.approx(tpr[within] + share * (tpr[after] - tpr[within]))
    assert np.isnan(points.low).all()
    # Steps of the whole curve at the lowest rates are all there: none is lost by thinning.
    impostors = int((~same).sum())
    assert points.fpr[:20] * impostors == pytest.approx(np.arange(20))


def test_the_thinned_area_is_the_whole_one():
    scores, same, *_ = scored(2, pairs=50_000)
    points = roc_points(scores, same)
    assert len(points.fpr) < 210
    assert sklearn.auc(points.fpr, points.tpr) == pytest.approx(sklearn.roc_auc_score(same, scores), abs=2e-3)


def test_the_rates_rise_from_0_to_1_in_whole_pairs():
    for impostors in (1, 2, 19, 21, 1000, 99_999):
        rates = roc_rates(impostors)
        assert rates[0] == 0
        assert rates[-1] == 1
        assert (np.diff(rates) > 0).all()
        assert rates * impostors == pytest.approx(np.round(rates * impostors))
    assert len(roc_rates(50_000)) < 210


def test_the_band_is_the_interval_of_each_rate_by_itself():
    scores, same, first, second = scored(3, pairs=600)
    points = bootstrap_roc_patients(scores, same, first, second, runs=80, seed=4)
    assert points.tpr == pytest.approx(roc_points(scores, same).tpr)
    chosen = float(points.fpr[15])
    alone = bootstrap_verification_patients(scores, same, first, second, fprs=(chosen,), runs=80, seed=4)
    interval = alone.tpr_at_fpr[chosen]
    assert (points.low[15], points.high[15]) == (interval.low, interval.high)
    # Of the first points each is a false positive more; below ten there is no band.
    assert np.isnan([points.low[:10], points.high[:10]]).all()
    assert not np.isnan([points.low[10:], points.high[10:]]).any()
    assert (points.low <= points.tpr + 1e-12)[10:].mean() > 0.9
    assert points.low[-1] == points.high[-1] == 1


def test_a_constant_score_is_the_diagonal():
    same = np.arange(100) < 40
    points = roc_points(np.zeros(100), same)
    assert points.tpr == pytest.approx(points.fpr)
    assert tpr_at_fpr(np.zeros(100), same, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("same", [[True, True], [False, False], []])
def test_one_kind_of_pair_is_nan_never_zero(same):
    points = roc_points(np.zeros(len(same)), np.array(same, dtype=bool))
    assert np.isnan(points.tpr).all()
    patients = np.zeros(len(same), dtype=int)
    other = patients if all(same) else patients + np.arange(1, len(same) + 1)
    band = bootstrap_roc_patients(np.zeros(len(same)), np.array(same, dtype=bool), patients, other, runs=10)
    assert np.isnan(band.high).all()


def test_a_nan_score_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        roc_points([np.nan, 1.0], [True, False])


@pytest.mark.parametrize("impostors", [7, 999, 3210, 50_000])
def test_rates_that_are_stated_have_a_point_of_their_own(impostors):
    rng = np.random.default_rng(impostors)
    same = np.repeat([True, False], [200, impostors])
    scores = rng.normal(size=len(same)) + same
    points = roc_points(scores, same)
    for rate in (0.001, 0.01, 0.1, 0.5, 1.0):
        assert points.tpr[points.place(rate)] == pytest.approx(tpr_at_fpr(scores, same, rate))
    assert points.place(0) == 0


@pytest.mark.parametrize("genuine", [0, 1, 2, 7, 300])
@pytest.mark.parametrize("impostors", [0, 1, 2, 50, 3_000])
@pytest.mark.parametrize("digits", [1, 9])
def test_rates_of_a_curve_are_found_together_as_one_by_one(genuine, impostors, digits):
    # With one digit nearly all scores are tied.
    scores = np.random.default_rng(genuine + impostors).normal(size=genuine + impostors).round(digits)
    curve = Ranking.of(scores, np.arange(len(scores)) < genuine).unweighted()
    rates = roc_rates(impostors)
    assert curve.tprs_at(rates).tobytes() == np.array([curve.tpr_at(rate) for rate in rates]).tobytes()
