"""Averages over images and patients with their intervals, and risk a patient."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from reidbench.metrics import (
    Interval,
    bootstrap_macro_auc_drop_patients,
    bootstrap_macro_auc_patients,
    bootstrap_mean_patients,
    chance_retrieval,
    effective_number,
    label_aucs,
    patient_risk,
    rank_queries,
    summarize_retrieval,
    summarize_risk,
    wilson_interval,
)
from reidbench.metrics.intervals import expanded_level


def found(scores, patients):
    scores, ids = np.asarray(scores, dtype=float), np.arange(len(patients))
    return rank_queries(lambda which: scores[which], patients, patients, ids, ids)


@pytest.fixture
def victim_and_crowd():
    """Patient v is found by both its images at once; c and d never; w is alone."""
    patients = np.array(["v", "v", "c", "c", "d", "d", "w"])
    scores = np.full((7, 7), 5.0) - np.arange(7) * 0.01
    scores[0, 1] = scores[1, 0] = 9.0
    for one, two in ((2, 3), (4, 5)):
        scores[one, two] = scores[two, one] = 0.0
    return found(scores, patients)


def test_mean_counts_images_or_patients():
    values, patients = [1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]
    assert bootstrap_mean_patients(values, patients, runs=10).value == 0.75
    assert bootstrap_mean_patients(values, patients, each="patient", runs=10).value == 0.5


@pytest.mark.parametrize("each", ["image", "patient"])
def test_mean_interval_is_that_of_listing_the_drawn_patients_images(each):
    rng = np.random.default_rng(0)
    patients = np.sort(rng.integers(0, 9, 40))
    values = rng.random(40) + patients
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(4).spawn(1)[0]))
    means = []
    for _ in range(50):
        drawn = [values[patients == patient] for patient in stream.integers(0, 9, 9)]
        means.append(np.concatenate(drawn).mean() if each == "image" else np.mean([one.mean() for one in drawn]))
    interval = bootstrap_mean_patients(values, patients, each=each, runs=50, seed=4)
    assert [interval.low, interval.high] == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_mean_of_independent_values_has_the_textbook_interval():
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap_mean_patients(values, np.arange(400), runs=4_000)
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_images_of_one_patient_are_no_new_evidence():
    values = np.random.default_rng(2).normal(size=50)
    once = bootstrap_mean_patients(values, np.arange(50), runs=200, seed=1)
    tenfold = bootstrap_mean_patients(np.repeat(values, 10), np.repeat(np.arange(50), 10), runs=200, seed=1)
    assert [tenfold.low, tenfold.high] == pytest.approx([once.low, once.high])


@pytest.mark.parametrize("patients", [1, 8, 99])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_none_and_all_found_have_the_interval_of_scipy_over_patients(patients, level):
    # Three images each: they are no new evidence of a patient.
    who = np.repeat(np.arange(patients), 3)
    for found in (0, patients):
        values = np.full(len(who), float(found > 0))
        interval = bootstrap_mean_patients(values, who, share=True, runs=50, level=level)
        theirs = binomtest(found, patients).proportion_ci(level, method="wilson")
        assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert interval.value == values[0]
        bare = bootstrap_mean_patients(values, who, runs=50, level=level)
        if patients == 1:
            assert np.isnan([bare.low, bare.high]).all()
            assert bare.why_unbounded == "one patient is too few for an interval"
        else:
            assert (bare.low, bare.high) == (bare.value, bare.value)


def test_the_effective_number_is_that_of_kish():
    # By hand: (1 + 1 + 8)^2 / (1 + 1 + 64).
    assert effective_number([1, 1, 8]) == pytest.approx(100 / 66)
    # Equal weights count as they are, to the last digit.
    assert [effective_number(np.full(n, 7)) for n in (1, 49, 91, 3001)] == [1, 49, 91, 3001]
    assert effective_number([5, 0, 5]) == 2
    assert effective_number([]) == effective_number([0, 0]) == 0
    with pytest.raises(ValueError, match="from 0 on"):
        effective_number([1, -1])


def test_patients_count_in_a_share_by_their_weight():
    # Three patients with one, one and eight images, of whom none is found; Wilson's upper end of 0 by hand.
    who, z2 = np.repeat([1, 2, 3], [1, 1, 8]), 1.959964**2
    by_image = bootstrap_mean_patients(np.zeros(10), who, share=True, runs=50)
    by_patient = bootstrap_mean_patients(np.zeros(10), who, each="patient", share=True, runs=50)
    assert (by_image.low, by_image.high) == (0.0, pytest.approx(z2 / (100 / 66 + z2), abs=1e-6))
    assert (by_patient.low, by_patient.high) == (0.0, pytest.approx(z2 / (3 + z2), abs=1e-6))
    # An image without a figure weighs nothing.
    gaps = np.where(np.arange(10) < 3, 0.0, np.nan)
    assert bootstrap_mean_patients(gaps, who, share=True, runs=50).high == by_patient.high


def test_a_share_never_ends_lower_for_more_that_are_found():
    found = [bootstrap_mean_patients(np.arange(60) < k, np.arange(60), share=True, runs=2_000) for k in range(61)]
    assert [one.high for one in found] == sorted(one.high for one in found)
    assert [one.low for one in found] == sorted(one.low for one in found)
    none, one, middle = found[0], found[1], found[30]
    assert one.high >= none.high > 0
    assert middle == bootstrap_mean_patients(np.arange(60) < 30, np.arange(60), runs=2_000)


def test_a_share_that_is_all_but_nothing_is_no_surer_than_nothing():
    # Guesses among very many images: a patient's probability of being found is tiny, and not 0.
    tiny = bootstrap_mean_patients(np.full(99, 1e-7), np.arange(99), share=True, runs=50)
    nothing = bootstrap_mean_patients(np.zeros(99), np.arange(99), share=True, runs=50)
    assert tiny.high == nothing.high
    assert tiny.low == pytest.approx(1e-7)


def test_shares_of_a_summary_are_guarded_and_graded_figures_are_not():
    # Two images each of three patients, and no image finds its other one first.
    patients = np.array(["a", "a", "b", "b", "c", "c"])
    scores = np.full((6, 6), 5.0) - np.arange(6) * 0.01
    for one in (0, 2, 4):
        scores[one, one + 1] = scores[one + 1, one] = 0.0
    ranks = found(scores, patients)
    wilson = binomtest(0, 3).proportion_ci(method="wilson").high
    summary, risk = summarize_retrieval(ranks, runs=50), summarize_risk(patient_risk(ranks), runs=50)
    for share in (summary.precision_at_1, risk.found_by_every_image):
        assert (share.value, share.low, share.high) == (0.0, 0.0, pytest.approx(wilson))
    assert summary.map_at_r == summary.r_precision == Interval(0.0, 0.0, 0.0)
    # The bare resamples would say that nothing can ever be found.
    assert bootstrap_mean_patients(ranks.precision_at_1, ranks.patients, runs=50) == Interval(0.0, 0.0, 0.0)


def test_images_without_a_figure_are_left_out():
    with_gap = bootstrap_mean_patients([0.2, np.nan, 0.4, np.nan], [1, 1, 2, 3], runs=100)
    assert with_gap == bootstrap_mean_patients([0.2, 0.4], [1, 2], runs=100)
    for nothing in (bootstrap_mean_patients([], []), bootstrap_mean_patients([np.nan], [1])):
        assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_wrong_means_are_refused():
    with pytest.raises(ValueError, match="shape"):
        bootstrap_mean_patients([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="at least one run"):
        bootstrap_mean_patients([], [], runs=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_mean_patients([1.0], [1], level=95)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        bootstrap_mean_patients([1.1], [1], share=True)


def test_retrieval_summary_averages_over_images_and_over_patients():
    # Patient a: three images, all found first; patient b: two, never before the distractor.
    patients = ["a", "a", "a", "b", "b", "x"]
    scores = np.zeros((6, 6))
    scores[:3, :3] = 1.0
    scores[3, [4, 5]], scores[4, [3, 5]] = [1, 2], [1, 2]
    summary = summarize_retrieval(found(scores, patients), runs=100)
    assert (summary.asked, summary.unasked) == (5, 1)
    assert summary.map_at_r.value == pytest.approx(3 / 5)
    assert summary.precision_at_1.value == pytest.approx(3 / 5)
    assert summary.r_precision.value == pytest.approx(3 / 5)
    assert summary.patient_map_at_r.value == pytest.approx(1 / 2)
    assert (summary.map_at_r.low, summary.map_at_r.high) == (0.0, 1.0)


def test_random_scores_land_on_the_chance_level():
    rng = np.random.default_rng(3)
    patients, ids = rng.integers(0, 30, 200), np.arange(200)
    chance = summarize_retrieval(chance_retrieval(patients, patients, ids, ids), runs=100)
    drawn = summarize_retrieval(found(rng.random((200, 200)), patients), runs=1_000)
    for figure in ("map_at_r", "r_precision", "precision_at_1", "patient_map_at_r"):
        interval = getattr(drawn, figure)
        assert interval.low < getattr(chance, figure).value < interval.high


def test_risk_shows_the_victim_that_the_mean_hides(victim_and_crowd):
    risk = patient_risk(victim_and_crowd)
    assert risk.patients.tolist() == ["v", "c", "d"]
    assert risk.queries.tolist() == [2, 2, 2]
    assert risk.best_rank.tolist() == [1.0, 6.0, 6.0]
    assert risk.mean_rank.tolist() == [1.0, 6.0, 6.0]
    assert risk.found_by_every_image.tolist() == [1.0, 0.0, 0.0]
    summary = summarize_risk(risk, runs=200, quantiles=(0.0, 0.5, 1.0))
    assert summary.patients == 3
    assert summary.found_by_every_image.value == pytest.approx(1 / 3)
    assert summary.map_at_r.value == pytest.approx(1 / 3)
    assert summary.best_rank == {0.0: 1.0, 0.5: 6.0, 1.0: 6.0}
    assert summary.mean_rank == {0.0: 1.0, 0.5: 6.0, 1.0: 6.0}
    assert summary.map_at_r_quantiles == {0.0: 0.0, 0.5: 0.0, 1.0: 1.0}


def test_one_missing_image_breaks_found_by_every_image():
    scores = np.array([[0, 3, 2, 1], [3, 0, 2, 1], [1, 2, 0, 3], [1, 1, 1, 0]], dtype=float)
    risk = patient_risk(found(scores, ["a", "a", "a", "x"]))
    assert risk.precision_at_1.tolist() == pytest.approx([2 / 3])
    assert risk.found_by_every_image.tolist() == [0.0]
    assert risk.best_rank.tolist() == [1.0]


def test_under_ties_found_by_every_image_is_a_probability():
    # Each of the two queries guesses among three: 1/3 × 1/3.
    risk = patient_risk(found(np.zeros((4, 4)), ["a", "a", "b", "c"]))
    assert risk.found_by_every_image.tolist() == pytest.approx([1 / 9])


def test_risk_of_nobody_is_nan():
    summary = summarize_risk(patient_risk(found(np.zeros((2, 2)), ["a", "b"])), runs=10)
    assert summary.patients == 0
    assert np.isnan([summary.map_at_r.value, summary.best_rank[0.5], summary.found_by_every_image.low]).all()


def test_label_aucs_are_scikit_learns():
    rng = np.random.default_rng(4)
    findings = rng.random((300, 6)) < 0.2
    scores = np.round(rng.random((300, 6)) + 0.3 * findings, 1)
    ours = label_aucs(scores, findings.astype(int))
    np.testing.assert_allclose(ours.auc, roc_auc_score(findings, scores, average=None))
    assert ours.macro == pytest.approx(roc_auc_score(findings, scores, average="macro"))
    assert ours.positives.tolist() == findings.sum(axis=0).tolist()
    assert (ours.positives + ours.negatives == 300).all()


def test_labels_of_one_class_have_no_auc_and_no_vote():
    findings = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    scores = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.5], [0.8, 0.3, 0.5]])
    ours = label_aucs(scores, findings)
    np.testing.assert_array_equal(ours.auc, [1.0, np.nan, np.nan])
    assert ours.macro == 1.0
    assert ours.positives.tolist() == [2, 0, 3]
    intervals = bootstrap_macro_auc_patients(scores, findings, [1, 2, 3], runs=50)
    # One patient is without the first finding: what another would add is unknown.
    assert intervals.macro == intervals.labels[0] == Interval(1.0, wilson_interval(1, 1).low, 1.0)
    assert np.isnan([intervals.labels[1].value, intervals.labels[2].low]).all()
    assert np.isnan(label_aucs(scores, np.zeros((3, 3))).macro)


def test_macro_interval_is_that_of_listing_the_drawn_patients_images():
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(20), 3)
    findings = rng.random((60, 2)) < 0.4
    scores = np.round(rng.random((60, 2)) + 0.4 * findings, 1)
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(6).spawn(1)[0]))
    areas = []
    for _ in range(50):
        images = np.concatenate([np.flatnonzero(patients == one) for one in stream.integers(0, 20, 20)])
        areas.append(roc_auc_score(findings[images], scores[images], average=None))
    intervals = bootstrap_macro_auc_patients(scores, findings, patients, runs=50, seed=6, guarded=False)
    ends = np.quantile(np.mean(areas, axis=1), [0.025, 0.975])
    assert [intervals.macro.low, intervals.macro.high] == pytest.approx(ends)
    ends = np.quantile(np.array(areas)[:, 1], [0.025, 0.975])
    assert [intervals.labels[1].low, intervals.labels[1].high] == pytest.approx(ends)


def _partly_known():
    rng = np.random.default_rng(9)
    patients = np.repeat(np.arange(30), 3)
    truth = (rng.random((90, 3)) < 0.4).astype(float)
    scores = np.round(rng.random((90, 3)) + 0.4 * truth, 1)
    truth[rng.random((90, 3)) < 0.3] = np.nan
    truth[patients == 7] = np.nan
    return scores, truth, patients


def _areas(scores, truth):
    """By scikit-learn, each label on the images where it is known."""
    known = ~np.isnan(truth)
    return [roc_auc_score(truth[k, i], scores[k, i]) for i, k in enumerate(known.T)]


def test_a_label_is_judged_on_the_images_where_it_is_known():
    scores, truth, _ = _partly_known()
    ours = label_aucs(scores, truth)
    np.testing.assert_allclose(ours.auc, _areas(scores, truth))
    assert ours.macro == pytest.approx(np.mean(_areas(scores, truth)))
    assert ours.positives.tolist() == np.nansum(truth, axis=0).tolist()
    assert (ours.positives + ours.negatives).tolist() == (~np.isnan(truth)).sum(axis=0).tolist()
    truth[:, 1] = np.nan
    assert np.isnan(label_aucs(scores, truth).auc[1])
    assert label_aucs(scores, truth).macro == pytest.approx((ours.auc[0] + ours.auc[2]) / 2)


def test_intervals_where_labels_are_known_of_different_images():
    scores, truth, patients = _partly_known()
    after = np.round(scores + np.random.default_rng(10).normal(0, 0.2, scores.shape), 1)
    # Patient 7, of whom nothing is known, is not drawn.
    drawn = np.delete(np.arange(30), 7)
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(6).spawn(1)[0]))
    areas, falls = [], []
    for _ in range(50):
        images = np.concatenate([np.flatnonzero(patients == drawn[one]) for one in stream.integers(0, 29, 29)])
        areas.append(_areas(scores[images], truth[images]))
        falls.append(np.mean(areas[-1]) - np.mean(_areas(after[images], truth[images])))
    bare = {"runs": 50, "seed": 6, "guarded": False}
    found = bootstrap_macro_auc_patients(scores, truth, patients, **bare)
    assert found.macro.value == pytest.approx(np.mean(_areas(scores, truth)))
    ends = np.quantile(np.mean(areas, axis=1), [0.025, 0.975])
    assert [found.macro.low, found.macro.high] == pytest.approx(ends)
    ends = np.quantile(np.array(areas)[:, 2], [0.025, 0.975])
    assert [found.labels[2].low, found.labels[2].high] == pytest.approx(ends)
    fall = bootstrap_macro_auc_drop_patients(scores, after, truth, patients, **bare)
    assert [fall.low, fall.high] == pytest.approx(np.quantile(falls, [0.025, 0.975]))
    # Percentiles of so few patients are expanded.
    expanded = bootstrap_macro_auc_patients(scores, truth, patients, runs=50, seed=6)
    told = patients[~np.isnan(truth).all(axis=1)]
    tail = (1 - expanded_level(0.95, effective_number(np.unique(told, return_counts=True)[1]))) / 2
    ends = np.quantile(np.mean(areas, axis=1), [tail, 1 - tail])
    assert [expanded.macro.low, expanded.macro.high] == pytest.approx(ends)
    assert expanded.macro.low < found.macro.low
    fall = bootstrap_macro_auc_drop_patients(scores, after, truth, patients, runs=50, seed=6)
    assert [fall.low, fall.high] == pytest.approx(np.quantile(falls, [tail, 1 - tail]))


def test_perfect_findings_of_few_patients_are_bounded_as_perfect_verification_is():
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=bool)
    found = bootstrap_macro_auc_patients(truth * 1.0, truth, range(5), runs=100)
    # Two patients decide each of both.
    allowed = wilson_interval(2, 2).low
    assert [(one.value, one.low, one.high) for one in (*found.labels, found.macro)] == [(1, allowed, 1)] * 3
    fall = bootstrap_macro_auc_drop_patients(truth * 1.0, 1.0 - truth, truth, range(5), runs=100)
    assert (fall.value, fall.high) == (1, 1)
    assert fall.low == pytest.approx(allowed)
    bare = bootstrap_macro_auc_patients(truth * 1.0, truth, range(5), runs=100, guarded=False)
    assert (bare.macro.low, bare.macro.high) == (1, 1)


def test_one_patient_has_no_interval_of_the_utility():
    truth = np.array([[1, 0], [0, 1], [1, 1.0]])
    found = bootstrap_macro_auc_patients(truth + 1.0, truth, [7, 7, 7], runs=20)
    fall = bootstrap_macro_auc_drop_patients(truth + 1.0, -truth, truth, [7, 7, 7], runs=20)
    for one in (found.macro, *found.labels, fall):
        assert one.value == 1
        assert np.isnan([one.low, one.high]).all()
        assert one.why_unbounded == "one patient is too few for an interval"


def test_images_of_which_all_or_nothing_is_known_are_judged_as_before():
    scores, truth, patients = _partly_known()
    truth[np.isnan(truth).any(axis=1)] = np.nan
    known = ~np.isnan(truth).any(axis=1)
    ours = bootstrap_macro_auc_patients(scores, truth, patients, runs=50, seed=6)
    whole = bootstrap_macro_auc_patients(scores[known], truth[known].astype(bool), patients[known], runs=50, seed=6)
    assert ours == whole
    with pytest.raises(ValueError, match="NaN"):
        label_aucs(np.full((2, 1), np.nan), [[1], [0]])


def test_fall_of_the_macro_auc_is_paired():
    rng = np.random.default_rng(7)
    patients = np.repeat(np.arange(20), 3)
    findings = rng.random((60, 2)) < 0.4
    before = rng.random((60, 2)) + 0.6 * findings
    after = np.round(before + rng.normal(0, 0.2, before.shape), 1)
    stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(6).spawn(1)[0]))
    falls = []
    for _ in range(50):
        images = np.concatenate([np.flatnonzero(patients == one) for one in stream.integers(0, 20, 20)])
        falls.append(roc_auc_score(findings[images], before[images]) - roc_auc_score(findings[images], after[images]))
    bare = {"runs": 50, "seed": 6, "guarded": False}
    fall = bootstrap_macro_auc_drop_patients(before, after, findings, patients, **bare)
    assert fall.value == pytest.approx(roc_auc_score(findings, before) - roc_auc_score(findings, after))
    assert [fall.low, fall.high] == pytest.approx(np.quantile(falls, [0.025, 0.975]))
    alike = bootstrap_macro_auc_drop_patients(before, before, findings, patients, runs=50)
    assert (alike.value, alike.low, alike.high) == (0, 0, 0)


def test_fall_of_an_undefined_macro_auc_is_nan():
    for findings in (np.ones((4, 2)), np.empty((0, 2))):
        fall = bootstrap_macro_auc_drop_patients(findings, findings, findings, range(len(findings)), runs=10)
        assert np.isnan([fall.value, fall.low, fall.high]).all()
    with pytest.raises(ValueError, match="both be"):
        bootstrap_macro_auc_drop_patients(np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2)), [1, 2, 3])


def test_findings_of_nobody_and_wrong_findings():
    nothing = bootstrap_macro_auc_patients(np.empty((0, 2)), np.empty((0, 2)), [], runs=10)
    assert np.isnan([nothing.macro.value, nothing.labels[0].high]).all()
    with pytest.raises(ValueError, match="both be"):
        label_aucs(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="as many patients"):
        bootstrap_macro_auc_patients(np.zeros((3, 2)), np.zeros((3, 2)), [1, 2])
    with pytest.raises(ValueError, match="0 and 1"):
        label_aucs(np.zeros((1, 2)), [[0, -1]])
