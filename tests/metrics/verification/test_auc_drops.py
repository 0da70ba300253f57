"""Drops of the AUC: paired intervals, expanded for few patients and bounded where an area is at an end."""

from __future__ import annotations

import numpy as np
import pytest
from scored_pairs import experiment
from sklearn.metrics import roc_auc_score

from reidbench.metrics import Interval, bootstrap_auc_drop_patients, bootstrap_auc_patients, roc_auc
from reidbench.metrics.intervals import expanded_level
from reidbench.metrics.verification import bootstrap


def test_drop_is_the_difference_and_its_interval_is_paired():
    rng = np.random.default_rng(7)
    before, same, first, second = experiment(rng)
    after = before + rng.normal(0, 0.1, len(same))
    drop = bootstrap_auc_drop_patients(before, after, same, first, second, runs=400)
    assert drop.value == roc_auc(before, same) - roc_auc(after, same)
    single = bootstrap_auc_patients(before, same, first, second, runs=400)
    assert drop.high - drop.low < 0.5 * (single.high - single.low)
    assert bootstrap_auc_drop_patients(before, before, same, first, second, runs=50) == Interval(0.0, 0.0, 0.0)


def test_a_drop_may_be_to_other_pairs_of_the_same_patients():
    rng = np.random.default_rng(10)
    before, same, first, second = experiment(rng)
    after = before + rng.normal(0, 0.3, len(same))
    # As matched impostors are some of all; one patient has no pair among them.
    kept = (same | (rng.random(len(same)) < 0.3)) & (first != first[0]) & (second != first[0])
    pairs = same[kept], first[kept], second[kept]
    drop = bootstrap_auc_drop_patients(before, after[kept], same, first, second, after_pairs=pairs, runs=1000)
    assert drop.value == pytest.approx(roc_auc_score(same, before) - roc_auc_score(pairs[0], after[kept]))
    falls = []
    patients = np.unique(np.r_[first, second])
    for _ in range(400):
        drawn = np.bincount(rng.choice(patients, len(patients)), minlength=patients.max() + 1).astype(float)
        weights = drawn[first] * np.where(same, 1, drawn[second])
        falls.append(
            roc_auc_score(same, before, sample_weight=weights)
            - roc_auc_score(pairs[0], after[kept], sample_weight=weights[kept])
        )
    low, high = np.percentile(falls, [2.5, 97.5])
    assert (drop.low, drop.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    # The pairs themselves, named twice.
    twice = bootstrap_auc_drop_patients(before, after, same, first, second, after_pairs=(same, first, second), runs=50)
    assert twice == bootstrap_auc_drop_patients(before, after, same, first, second, runs=50)


def test_a_drop_is_bounded_where_an_area_is_at_an_end():
    # Five patients, told perfectly before: what others would add is unknown, of the drop too.
    rng = np.random.default_rng(11)
    patient = np.repeat(np.arange(5), 2)
    first, second = (side.ravel() for side in np.meshgrid(np.arange(10), np.arange(10)))
    first, second = first[first < second], second[first < second]
    a, b = patient[first], patient[second]
    same = a == b
    perfect, poor = same.astype(float), same + rng.normal(0, 1, len(same))
    single = bootstrap_auc_patients(perfect, same, a, b, runs=200)
    assert single.value == single.high == 1 > single.low
    fall = bootstrap_auc_drop_patients(perfect, poor, same, a, b, runs=200)
    rise = bootstrap_auc_drop_patients(poor, perfect, same, a, b, runs=200)
    bare = bootstrap_auc_drop_patients(perfect, poor, same, a, b, runs=200, guarded=False)
    assert fall.low <= fall.value - (1 - single.low) < bare.low
    assert (rise.low, rise.high) == pytest.approx((-fall.high, -fall.low))
    # Two ways of being perfect are not known to be equal; one and the same is.
    both = bootstrap_auc_drop_patients(perfect, 2 * perfect, same, a, b, runs=200)
    assert (both.low, both.high) == (-(1 - single.low), 1 - single.low)
    assert bootstrap_auc_drop_patients(perfect, perfect, same, a, b, runs=200) == Interval(0, 0, 0)


@pytest.mark.parametrize("patients", [12, 200])
def test_percentiles_of_a_drop_are_expanded_for_few_patients(patients):
    rng = np.random.default_rng(12)
    before, same, first, second = experiment(rng, patients=patients, impostors=10 * patients, shift=0.3, noise=1.5)
    after = before + rng.normal(0, 1, len(same))
    drop = bootstrap_auc_drop_patients(before, after, same, first, second, runs=400)
    sample = bootstrap._Sample.of(before, same, first, second)
    level = expanded_level(0.95, sample.effective_patients)
    bare = bootstrap_auc_drop_patients(before, after, same, first, second, runs=400, level=level, guarded=False)
    assert drop == bare
    assert level > (0.97 if patients == 12 else 0.95)
