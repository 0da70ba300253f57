"""Intervals of retrieval from leaving patients out: textbook cases, ends, pairing, and coverage in repeated cohorts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reidbench.metrics import (
    GalleryInfluence,
    bootstrap_mean_patients,
    euclidean_scores,
    jackknife_interval,
    jackknife_rise,
    leave_patients_out,
    rank_queries,
    summarize_retrieval,
    wilson_interval,
)
from reidbench.metrics.retrieval.gallery_influence import MAP_AT_R, MAP_AT_R_PATIENTS, PRECISION_AT_1


def untouched(patients):
    """A gallery in which nobody stands in anybody's way."""
    return GalleryInfluence(np.asarray(patients), np.zeros((4, len(patients))))


def test_of_independent_values_it_is_students_interval():
    values = np.random.default_rng(0).uniform(0.3, 0.6, 40)
    found = leave_patients_out(values, np.arange(40), untouched(np.arange(40)), MAP_AT_R)
    error = values.std(ddof=1) / np.sqrt(40)
    assert found.error == pytest.approx(error)
    low, high = stats.t.interval(0.9, 39, values.mean(), error)
    interval = jackknife_interval(found, level=0.9)
    assert (interval.value, interval.low, interval.high) == pytest.approx((values.mean(), low, high))


def test_patients_who_ask_nothing_count_by_what_they_do_to_others():
    # Three patients ask; a fourth only stands in the gallery, and costs the others 0.3 in all.
    gains = np.zeros((4, 4))
    gains[MAP_AT_R, 3] = 0.3
    found = leave_patients_out([0.2, 0.4, 0.6], [0, 1, 2], GalleryInfluence(np.arange(4), gains), MAP_AT_R)
    assert found.without == pytest.approx([0.5, 0.4, 0.3, 0.5])
    assert found.weighs.tolist() == [1, 1, 1, 0]


def test_ends_stay_within_0_and_1_and_perfect_figures_are_guarded():
    patients = np.arange(20)
    for value in (0.0, 1.0):
        found = leave_patients_out(np.full(20, value), patients, untouched(patients), MAP_AT_R_PATIENTS, each="patient")
        theirs = wilson_interval(20 * value, 20)
        assert (jackknife_interval(found).low, jackknife_interval(found).high) == (theirs.low, theirs.high)
    near = np.r_[np.full(19, 1.0), 0.5]
    interval = jackknife_interval(leave_patients_out(near, patients, untouched(patients), MAP_AT_R))
    assert interval.high == 1
    assert 0.9 < interval.low < 0.975
    share = jackknife_interval(
        leave_patients_out(near > 0.6, patients, untouched(patients), PRECISION_AT_1), share=True
    )
    assert share.low <= wilson_interval(20, 20).low


def test_few_patients_have_no_interval():
    for values, patients in (([], []), ([0.5], [0]), ([0.5, 0.7], [0, 0])):
        found = leave_patients_out(values, patients, untouched(np.unique(patients).astype(int)), MAP_AT_R)
        interval = jackknife_interval(found)
        assert np.isnan([interval.low, interval.high]).all()


def test_a_rise_is_paired_and_needs_the_same_patients():
    rng = np.random.default_rng(1)
    before = rng.uniform(0.2, 0.8, 30)
    after = before - 0.1 + rng.normal(0, 0.01, 30)
    first, second = (
        leave_patients_out(one, np.arange(30), untouched(np.arange(30)), MAP_AT_R) for one in (before, after)
    )
    rise = jackknife_rise(second, first)
    low, high = stats.t.interval(0.95, 29, (after - before).mean(), stats.sem(after - before))
    assert (rise.value, rise.low, rise.high) == pytest.approx(((after - before).mean(), low, high))
    assert jackknife_rise(first, first).high == 0
    other = leave_patients_out(before, np.arange(1, 31), untouched(np.arange(1, 31)), MAP_AT_R)
    with pytest.raises(ValueError, match="different patients"):
        jackknife_rise(other, first)


def test_summaries_use_it_where_the_gallery_was_followed():
    rng = np.random.default_rng(2)
    patients, ids = np.repeat(np.arange(12), 4), np.arange(48)
    vectors = (np.repeat(rng.normal(size=(12, 4)), 4, axis=0) + 0.5 * rng.normal(size=(48, 4))).astype(np.float32)
    block = euclidean_scores(vectors, vectors)
    followed = rank_queries(block, patients, patients, ids, ids, influence=True)
    summary = summarize_retrieval(followed, runs=50)
    row = leave_patients_out(
        followed.average_precision, patients, followed.influence, MAP_AT_R_PATIENTS, each="patient"
    )
    assert summary.patient_map_at_r == jackknife_interval(row)
    fixed = summarize_retrieval(rank_queries(block, patients, patients, ids, ids), runs=50)
    assert fixed.patient_map_at_r.value == pytest.approx(summary.patient_map_at_r.value)
    assert fixed.patient_map_at_r != summary.patient_map_at_r


def test_intervals_hold_the_truth_where_fixed_galleries_do_not():
    """Forty patients, some with many images: whom the gallery holds matters beside who asks."""
    held = {"left out": [], "fixed": []}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(40), np.where(rng.random(40) < 0.125, 12, 2))
        centre = rng.normal(size=(40, 3))
        vectors = centre[patients] + 0.35 * rng.normal(size=(len(patients), 3))
        vectors, ids = vectors.astype(np.float32), np.arange(len(patients))
        ranks = rank_queries(euclidean_scores(vectors, vectors), patients, patients, ids, ids, influence=True)
        values = ranks.average_precision
        row = leave_patients_out(values, patients, ranks.influence, MAP_AT_R_PATIENTS, each="patient")
        held["left out"].append(jackknife_interval(row))
        held["fixed"].append(bootstrap_mean_patients(values, patients, each="patient", runs=200, seed=seed))
    truth = np.mean([one.value for one in held["fixed"]])
    covered = {name: np.mean([one.low <= truth <= one.high for one in each]) for name, each in held.items()}
    # Of 120 experiments, coverage of 95 % lies within 0.91 and 0.99 in all but one case in fifty.
    assert 0.91 <= covered["left out"] <= 0.99
    assert covered["fixed"] < covered["left out"]


def test_a_rise_to_an_end_is_bounded_as_the_figure_there_is():
    first, second = (
        leave_patients_out(np.full(5, value), np.arange(5), untouched(np.arange(5)), MAP_AT_R) for value in (1.0, 0.0)
    )
    fall = jackknife_rise(second, first)
    one, other = jackknife_interval(first), jackknife_interval(second)
    assert (fall.value, fall.low) == (-1, -1 - 0)
    assert fall.high == pytest.approx(-1 + max(1 - one.low, other.high))
    assert jackknife_rise(second, first, guarded=False).high == -1
