"""Intervals of the verification figures: exact for their weights, and honest in repeated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest
from scored_pairs import experiment
from sklearn.metrics import roc_auc_score

from reidbench.metrics import (
    Interval,
    VerificationIntervals,
    bootstrap_auc_drop_patients,
    bootstrap_auc_pairs,
    bootstrap_auc_patients,
    bootstrap_verification_patients,
    equal_error_rate,
    tpr_at_fpr,
    why_unbounded,
)
from reidbench.metrics.intervals import RUNS_PER_STREAM, expanded_level, percentile_interval, wilson_interval
from reidbench.metrics.verification import bootstrap


def percentiles(scores, same, first, second, *, fprs, runs, seed=0):
    """What the bare resamples say, without the rules on rates that few pairs or patients decide."""
    values, draws = bootstrap._verification_draws(bootstrap._Sample.of(scores, same, first, second), fprs, runs, seed)
    auc, eer, *tprs = (percentile_interval(value, draws[:, i], 0.95) for i, value in enumerate(values))
    return VerificationIntervals(auc, eer, dict(zip(fprs, tprs)))


def resampled_aucs(scores, same, patient_a, patient_b, seed):
    """One stream's resamples written out: the drawn patients' pairs listed one by one, for scikit-learn."""
    patients = np.unique(np.r_[patient_a, patient_b])
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed).spawn(1)[0]))
    # Patients are numbered in the order in which the pairs name them.
    order = list(dict.fromkeys([*patient_a, *patient_b]))
    areas = []
    for _ in range(RUNS_PER_STREAM):
        drawn = [order[i] for i in stream.integers(0, len(patients), len(patients))]
        listed = []
        for pair in range(len(scores)):
            if same[pair]:
                times = drawn.count(patient_a[pair])
            else:
                times = sum(one == patient_a[pair] and two == patient_b[pair] for one in drawn for two in drawn)
            listed += [pair] * times
        if len(set(same[listed])) == 2:
            areas.append(roc_auc_score(same[listed], scores[listed]))
    return areas


@pytest.mark.parametrize("decimals", [0, 8])
def test_patient_interval_is_that_of_listing_the_drawn_patients_pairs(decimals):
    scores, same, first, second = experiment(np.random.default_rng(0), patients=8, genuine_each=2, impostors=15)
    scores = np.round(scores, decimals)
    areas = resampled_aucs(scores, same, first.tolist(), second.tolist(), seed=3)
    interval = percentiles(scores, same, first, second, fprs=(), runs=RUNS_PER_STREAM, seed=3).auc
    assert interval.value == pytest.approx(roc_auc_score(same, scores))
    # A resample without a misplaced pair is one of few here: see the intervals near perfect separation.
    guarded = bootstrap_auc_patients(scores, same, first, second, runs=RUNS_PER_STREAM, seed=3)
    assert guarded.low <= interval.low <= interval.high <= guarded.high
    assert [interval.low, interval.high] == pytest.approx(np.quantile(areas, [0.025, 0.975]))


@pytest.mark.parametrize("decimals", [0, 8])
def test_pair_interval_is_that_of_listing_the_drawn_pairs(decimals):
    scores, same, _, _ = experiment(np.random.default_rng(1), patients=20)
    scores = np.round(scores, decimals)
    # The bootstrap numbers genuine pairs before impostor ones, each kind by falling score, ties in the given order.
    order = np.argsort(-scores, kind="stable")
    ranked = np.r_[order[same[order]], order[~same[order]]]
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(5).spawn(1)[0]))
    drawn = [ranked[stream.integers(0, len(same), len(same))] for _ in range(RUNS_PER_STREAM)]
    areas = [roc_auc_score(same[pairs], scores[pairs]) for pairs in drawn]
    interval = bootstrap_auc_pairs(scores, same, runs=RUNS_PER_STREAM, seed=5)
    assert [interval.low, interval.high] == pytest.approx(np.quantile(areas, [0.025, 0.975]))


def test_all_figures_come_with_the_value_of_the_data():
    scores, same, first, second = experiment(np.random.default_rng(2))
    found = bootstrap_verification_patients(scores, same, first, second, runs=300, fprs=(0.05, 0.1))
    assert found.auc == bootstrap_auc_patients(scores, same, first, second, runs=300)
    assert found.eer.value == equal_error_rate(scores, same)
    assert {fpr: each.value for fpr, each in found.tpr_at_fpr.items()} == {
        fpr: tpr_at_fpr(scores, same, fpr) for fpr in (0.05, 0.1)
    }
    for interval in (found.auc, found.eer, *found.tpr_at_fpr.values()):
        assert 0 <= interval.low < interval.value < interval.high <= 1


def test_a_resample_of_the_other_figures_is_that_of_repeating_pairs():
    # Weights that are whole numbers must act as so many copies of a pair.
    rng = np.random.default_rng(3)
    scores, same, first, second = experiment(rng, patients=12, impostors=60)
    scores = np.round(scores, 1)
    found = percentiles(scores, same, first, second, runs=1, seed=8, fprs=(0.05,))
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(8).spawn(1)[0]))
    order = np.array(list(dict.fromkeys([*first.tolist(), *second.tolist()])))
    counts = np.bincount(order[stream.integers(0, len(order), len(order))], minlength=12)
    times = np.where(same, counts[first], counts[first] * counts[second])
    repeated = np.repeat(np.arange(len(same)), times)
    assert found.eer.low == pytest.approx(equal_error_rate(scores[repeated], same[repeated]))
    assert found.tpr_at_fpr[0.05].low == pytest.approx(tpr_at_fpr(scores[repeated], same[repeated], 0.05))


def test_patient_interval_is_wider_than_the_pair_interval_when_one_patient_has_most_pairs():
    rng = np.random.default_rng(4)
    genuine = np.r_[np.zeros(800, int), np.repeat(np.arange(1, 40), 5)]
    other_a = rng.integers(0, 40, 1_000)
    first = np.r_[genuine, other_a]
    second = np.r_[genuine, (other_a + rng.integers(1, 40, 1_000)) % 40]
    same = first == second
    scores = rng.normal(size=len(same)) + same * (1 + rng.normal(0, 0.7, 40)[first])
    by_patients = bootstrap_auc_patients(scores, same, first, second, runs=500)
    by_pairs = bootstrap_auc_pairs(scores, same, runs=500)
    assert by_patients.value == by_pairs.value
    assert by_patients.high - by_patients.low > 3 * (by_pairs.high - by_pairs.low)


def test_same_seed_same_interval_whatever_the_threads(monkeypatch):
    scores, same, first, second = experiment(np.random.default_rng(5))
    many = bootstrap_auc_patients(scores, same, first, second, runs=170, seed=1)
    monkeypatch.setattr("reidbench.metrics.parallel.MOST_THREADS", 1)
    assert bootstrap_auc_patients(scores, same, first, second, runs=170, seed=1) == many
    assert bootstrap_auc_patients(scores, same, first, second, runs=170, seed=2) != many


def test_names_of_patients_may_be_text():
    scores, same, first, second = experiment(np.random.default_rng(6))
    named = [np.array([f"patient {i:03}" for i in side]) for side in (first, second)]
    assert bootstrap_auc_patients(scores, same, *named, runs=60) == bootstrap_auc_patients(
        scores, same, first, second, runs=60
    )


def test_a_constant_score_is_one_half_with_nothing_around_it():
    _, same, first, second = experiment(np.random.default_rng(8))
    constant = np.zeros(len(same))
    assert bootstrap_auc_pairs(constant, same, runs=50) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_auc_patients(constant, same, first, second, runs=50) == Interval(0.5, 0.5, 0.5)


def test_level_sets_the_width():
    scores, same, first, second = experiment(np.random.default_rng(9))
    wide = bootstrap_auc_patients(scores, same, first, second, runs=400, level=0.99)
    narrow = bootstrap_auc_patients(scores, same, first, second, runs=400, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("same", "patient_a", "patient_b"),
    [([], [], []), ([True, True], [1, 2], [1, 2]), ([False], [1], [2]), ([True], [1], [1])],
)
def test_missing_kinds_of_pairs_give_nan(same, patient_a, patient_b):
    scores = np.arange(len(same), dtype=float)
    nothing = [float("nan")] * 3
    by_patients = bootstrap_auc_patients(scores, same, patient_a, patient_b, runs=20)
    by_pairs = bootstrap_auc_pairs(scores, same, runs=20)
    drop = bootstrap_auc_drop_patients(scores, scores, same, patient_a, patient_b, runs=20)
    found = bootstrap_verification_patients(scores, same, patient_a, patient_b, runs=20)
    for interval in (by_patients, by_pairs, drop, found.auc, found.eer, found.tpr_at_fpr[0.01]):
        np.testing.assert_equal([interval.value, interval.low, interval.high], nothing)


def test_resamples_without_one_kind_are_left_out():
    # Of three patients, one of nine draws takes one three times and so has no impostor pair.
    pairs = [2.0, 3.0, 2.5, 1.0, 0.5], [True, True, True, False, False], [1, 2, 3, 1, 2], [1, 2, 3, 2, 3]
    assert percentiles(*map(np.array, pairs), fprs=(), runs=200).auc == Interval(1.0, 1.0, 1.0)
    interval = bootstrap_auc_patients(*pairs, runs=200)
    # Of four sides of impostor pairs one patient has two.
    assert (interval.low, interval.high) == (wilson_interval(16 / 6, 16 / 6).low, 1.0)


@pytest.mark.parametrize("counts", [[3] * 30, [3] * 10 + [15]])
def test_perfect_separation_has_the_interval_of_scipy_over_effective_patients(counts):
    patient = np.repeat(np.arange(len(counts)), counts)
    same = np.repeat([True, False], len(patient))
    first, second = np.tile(patient, 2), np.r_[patient, np.roll(patient, max(counts))]
    effective = sum(counts) ** 2 / sum(count**2 for count in counts)
    z2 = 1.959964**2
    for sign, low, high in ((1, effective / (effective + z2), 1), (-1, 0, z2 / (effective + z2))):
        found = bootstrap_verification_patients(sign * same.astype(float), same, first, second, runs=100)
        assert (found.auc.low, found.auc.high) == pytest.approx((low, high), abs=1e-6)
        assert (found.eer.low, found.eer.high) == pytest.approx((1 - high, 1 - low), abs=1e-6)
        bare = bootstrap_verification_patients(sign * same.astype(float), same, first, second, runs=100, guarded=False)
        assert bare.auc.low == bare.auc.high == bare.auc.value
    if len(set(counts)) == 1:
        theirs = binomtest(len(counts), len(counts)).proportion_ci(method="wilson")
        assert bootstrap_auc_patients(same.astype(float), same, first, second, runs=100).low == pytest.approx(
            theirs.low
        )


def test_intervals_near_perfect_separation_are_guarded_until_resampling_shows_what_may_move():
    # One genuine pair a patient and an impostor pair beside it; the first few patients' genuine pairs lie below all.
    patients = 60
    first = np.tile(np.arange(patients), 2)
    second = np.r_[np.arange(patients), np.roll(np.arange(patients), 1)]
    same = first == second
    lows, floor = [], wilson_interval(patients, patients).low
    for misplaced in range(8):
        scores = np.where(same, 1.0, 0.0)
        scores[:misplaced] = -1.0
        lows.append(bootstrap_auc_patients(scores, same, first, second, runs=1_000))
    assert lows[0].low == pytest.approx(floor)
    assert all(one.low <= floor + 1e-12 for one in lows)
    # From four misplaced patients on fewer than one in forty resamples has none of them.
    for one in lows[4:]:
        assert one.high < 1
    # A slight misplacement of many patients is no reason for a guard: their own resamples say how far it moves.
    scores = np.where(same, np.linspace(0.3, 2, 2 * patients), np.linspace(-0.4, 0.6, 2 * patients))
    many = bootstrap_auc_patients(scores, same, first, second, runs=1_000)
    bare = percentiles(scores, same, first, second, fprs=(), runs=1_000).auc
    assert bare.high < 1
    assert many.low <= bare.low <= bare.high <= many.high
    assert many.high - many.low < 1.1 * (bare.high - bare.low)


def test_percentiles_of_few_patients_are_those_of_students_t():
    # Resamples of normal values have normal means, whose percentiles at the expanded level are the textbook's interval.
    values = np.random.default_rng(0).normal(size=15)
    draws = np.random.default_rng(1).choice(values, (40_000, 15)).mean(axis=1)
    found = percentile_interval(values.mean(), draws, expanded_level(0.95, 15))
    theirs = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs, abs=0.03)
    assert expanded_level(0.95, 1e9) == pytest.approx(0.95)
    assert expanded_level(0.95, 1.5) == 0.95
    assert 0.95 < expanded_level(0.95, 36) < expanded_level(0.95, 8) < expanded_level(0.95, 2) < 1


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="contradicts"):
        bootstrap_auc_patients([0.1, 0.2], [True, False], [1, 1], [2, 2])
    with pytest.raises(ValueError, match="as many patients"):
        bootstrap_auc_patients([0.1, 0.2], [True, False], [1], [1])
    with pytest.raises(ValueError, match="at least one run"):
        bootstrap_auc_pairs([0.1, 0.2], [True, False], runs=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_auc_pairs([0.1, 0.2], [True, False], level=1.0)
    with pytest.raises(ValueError, match="NaN"):
        bootstrap_auc_drop_patients([0.1, np.nan], [0.1, 0.2], [True, False], [1, 1], [1, 2])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bootstrap_verification_patients([0.1, 0.2], [True, False], [1, 1], [1, 2], fprs=(2,))


@pytest.mark.parametrize(
    ("fpr", "impostors", "needed"),
    [(0.001, 9_999, "10,000"), (0.001, 10_000, None), (0.01, 999, "1,000"), (0.01, 1_000, None), (0.3, 33, "34")],
)
def test_a_rate_has_an_interval_from_ten_false_positives_on(fpr, impostors, needed):
    why = why_unbounded(fpr, impostors)
    assert (why is None) == (needed is None)
    if needed:
        assert why == (
            f"{impostors:,} impostor pairs are too few for an interval at {100 * fpr:g} % FPR, {needed} are needed"
        )


def test_at_no_false_positives_and_at_all_of_them():
    assert why_unbounded(0.0, 10**9) == "1,000,000,000 impostor pairs are too few for an interval at 0 % FPR"
    assert why_unbounded(1.0, 1) is None
    scores, same, first, second = experiment(np.random.default_rng(11))
    found = bootstrap_verification_patients(scores, same, first, second, runs=20, fprs=(0.0, 1.0)).tpr_at_fpr
    assert found[0.0].value == tpr_at_fpr(scores, same, 0.0)
    assert math.isnan(found[0.0].low)
    assert math.isnan(found[0.0].high)
    # Every pair is accepted there, by definition and whoever the patients are.
    assert found[1.0] == Interval(1.0, 1.0, 1.0)


def test_a_rate_without_interval_keeps_its_figure_and_says_why():
    scores, same, first, second = experiment(np.random.default_rng(12))
    args = (scores, same, first, second)
    guarded = bootstrap_verification_patients(*args, runs=60, fprs=(0.01, 0.1))
    bare = percentiles(*args, runs=60, fprs=(0.01, 0.1))
    low, high = guarded.tpr_at_fpr[0.01], bare.tpr_at_fpr[0.01]
    assert low.value == high.value
    assert math.isnan(low.low)
    assert low.why_unbounded == "200 impostor pairs are too few for an interval at 1 % FPR, 1,000 are needed"
    assert high.low <= high.high
    assert high.why_unbounded is None
    assert guarded.tpr_at_fpr[0.1] == bare.tpr_at_fpr[0.1]
    plain = bootstrap_verification_patients(*args, runs=60, fprs=(0.01, 0.1), guarded=False)
    assert (plain.auc, plain.eer) == (bare.auc, bare.eer)
    assert guarded.auc.value == plain.auc.value
    assert guarded.auc.low <= plain.auc.low <= plain.auc.high <= guarded.auc.high


def test_a_rate_of_one_is_as_sure_as_its_patients_are_many():
    # Every genuine pair above every impostor, of 40 patients with four pairs each.
    scores, same, first, second = experiment(np.random.default_rng(13), shift=50)
    found = bootstrap_verification_patients(scores, same, first, second, runs=40, fprs=(0.1,)).tpr_at_fpr[0.1]
    theirs = binomtest(40, 40).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == (1.0, pytest.approx(theirs.low), 1.0)


def test_patients_count_in_a_rate_by_their_genuine_pairs():
    # Every genuine pair above every impostor; one of 40 patients has 160 pairs, the others have four each.
    each = np.full(40, 4)
    each[7] = 160
    scores, same, first, second = experiment(np.random.default_rng(13), genuine_each=each, shift=50)
    found = bootstrap_verification_patients(scores, same, first, second, runs=40, fprs=(0.1,)).tpr_at_fpr[0.1]
    effective, z2 = (160 + 39 * 4) ** 2 / (160**2 + 39 * 4**2), 1.959964**2
    assert effective < 4
    assert (found.value, found.low, found.high) == (1.0, pytest.approx(effective / (effective + z2), abs=1e-6), 1.0)


def test_rates_cover_the_truth_from_ten_false_positives_on_and_not_below():
    """Repeated experiments with a known rate at 1 % false positives, patients being the clusters."""
    rng, fpr, repetitions = np.random.default_rng(14), 0.01, 100
    # Impostor scores are normal, with the variance of two commonnesses and a noise; genuine ones of likeness and noise.
    threshold = stats.norm.isf(fpr, 0, math.sqrt(2 * 0.25 + 0.25))
    truth = stats.norm.sf(threshold, 2.5, math.sqrt(0.25 + 0.25))
    held = {}
    for impostors in (100, 1_000):
        hits = 0
        for repetition in range(repetitions):
            drawn = experiment(rng, patients=100, impostors=impostors, shift=2.5)
            found = percentiles(*drawn, fprs=(fpr,), runs=200, seed=repetition)
            interval = found.tpr_at_fpr[fpr]
            hits += interval.low <= truth <= interval.high
        held[impostors] = hits / repetitions
        assert (why_unbounded(fpr, impostors) is None) == (impostors == 1_000)
    assert held[100] < 0.8
    assert held[1_000] >= 0.9


@pytest.mark.slow
def test_patient_intervals_cover_the_truth_and_pair_intervals_do_not():
    """Two hundred repeated experiments with a known AUC: of the 95 % intervals, about 95 % must hold it."""
    rng = np.random.default_rng(10)
    # A genuine less an impostor score is normal, of mean 1.5; its variance: likeness, two commonnesses, two noises.
    truth = 0.5 * (1 + math.erf(1.5 / math.sqrt(0.25 + 2 * 0.25 + 2 * 0.25) / math.sqrt(2)))
    hits = {"patients": 0, "pairs": 0}
    for repetition in range(200):
        scores, same, first, second = experiment(rng, patients=60, genuine_each=5, impostors=300)
        for name, interval in (
            ("patients", bootstrap_auc_patients(scores, same, first, second, runs=300, seed=repetition)),
            ("pairs", bootstrap_auc_pairs(scores, same, runs=300, seed=repetition)),
        ):
            hits[name] += interval.low <= truth <= interval.high
    assert 0.90 <= hits["patients"] / 200 <= 0.99
    assert hits["pairs"] / 200 < 0.85


def test_two_patients_have_no_interval():
    scores, same = [0.9, 0.2, 0.5, 0.1, 0.6], np.array([True, True, False, False, False])
    a, b = [0, 1, 0, 1, 0], [0, 1, 1, 0, 1]
    found = bootstrap_verification_patients(scores, same, a, b, fprs=(0.5,), runs=50)
    drop = bootstrap_auc_drop_patients(scores, scores[::-1], same, a, b, runs=50)
    single = bootstrap_auc_patients(scores, same, a, b, runs=50)
    for interval in (single, found.auc, found.eer, *found.tpr_at_fpr.values(), drop):
        assert np.isnan([interval.low, interval.high]).all()
        assert not np.isnan(interval.value)
        assert interval.why_unbounded == "2 patients are too few for an interval"
