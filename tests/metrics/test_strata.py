"""True positive rates by stratum: against pandas, scipy and a loop, and against what one can see by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from reidbench.metrics import bootstrap_mean_patients, tpr_by_stratum, wilson_interval
from reidbench.metrics.intervals import resample

STRATA = 4


@pytest.fixture(scope="module")
def pairs():
    """Genuine pairs of 40 patients, some with many; scores on a grid, so that many lie on the threshold."""
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(40), rng.integers(1, 30, 40))
    scores = np.round(rng.normal(size=len(patients)) + 0.5 * (patients % 3), 1)
    stratum = rng.integers(0, STRATA - 1, len(patients)).astype(float)
    stratum[rng.random(len(stratum)) < 0.1] = np.nan
    stratum[:3] = STRATA - 1  # A rare one.
    return scores, stratum, patients


def test_the_rates_and_counts_are_those_of_pandas(pairs):
    scores, stratum, patients = pairs
    table = pd.DataFrame({"accepted": scores >= 0.4, "stratum": stratum, "patient": patients}).dropna()
    grouped = table.groupby("stratum")
    found = tpr_by_stratum(scores, stratum, patients, 0.4, strata=STRATA, runs=20)
    assert [f.tpr.value for f in found] == pytest.approx(grouped["accepted"].mean().tolist())
    assert [f.pairs for f in found] == grouped.size().tolist()
    assert [f.patients for f in found] == grouped["patient"].nunique().tolist()


def test_the_interval_is_what_a_loop_over_resampled_patients_gives(pairs):
    scores, stratum, patients = pairs
    runs = 300

    def draw(rng, count):
        rows = []
        for _ in range(count):
            drawn = np.repeat(np.arange(len(scores)), np.bincount(rng.integers(0, 40, 40), minlength=40)[patients])
            accepted, where = scores[drawn] >= 0.4, stratum[drawn]
            rows.append([accepted[where == s].mean() if (where == s).any() else np.nan for s in range(STRATA)])
        return np.array(rows)

    looped = resample(draw, runs, 7)
    found = tpr_by_stratum(scores, stratum, patients, 0.4, strata=STRATA, runs=runs, seed=7)
    for number, rate in enumerate(found[:-1]):
        low, high = np.nanquantile(looped[:, number], [0.025, 0.975])
        assert (rate.tpr.low, rate.tpr.high) == pytest.approx((low, high))


def test_one_stratum_of_everything_is_the_mean_over_patients(pairs):
    scores, _, patients = pairs
    (whole,) = tpr_by_stratum(scores, np.zeros(len(scores)), patients, 0.4, strata=1, runs=500, seed=3)
    mean = bootstrap_mean_patients((scores >= 0.4).astype(float), patients, runs=500, seed=3)
    assert (whole.tpr.value, whole.tpr.low, whole.tpr.high) == pytest.approx((mean.value, mean.low, mean.high))
    assert whole.tpr.high - whole.tpr.low > whole.tpr_pairs.high - whole.tpr_pairs.low


def test_the_order_of_the_pairs_makes_no_difference(pairs):
    scores, stratum, patients = pairs
    # Patients keep theirs: resamples go by order of appearance.
    shuffled = np.lexsort((np.random.default_rng(0).random(len(scores)), patients))
    there = tpr_by_stratum(scores, stratum, patients, 0.4, strata=STRATA, runs=50)
    here = tpr_by_stratum(scores[shuffled], stratum[shuffled], patients[shuffled], 0.4, strata=STRATA, runs=50)
    assert repr(here) == repr(there)


@pytest.mark.parametrize(("found", "of"), [(0, 1), (1, 1), (0, 30), (30, 30), (3, 7), (970, 1000)])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_wilson_is_that_of_scipy(found, of, level):
    theirs = binomtest(found, of).proportion_ci(level, method="wilson")
    ours = wilson_interval(found, of, level=level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == found / of


def test_a_stratum_of_which_nothing_is_found_is_as_sure_as_its_patients_are_many():
    patients = np.repeat(np.arange(12), 5)
    none, every = tpr_by_stratum(np.arange(60) >= 30, patients >= 6, patients, 0.5, strata=2, runs=50)
    theirs = binomtest(0, 6).proportion_ci(method="wilson")
    assert (none.tpr.low, none.tpr.high) == pytest.approx((0.0, theirs.high))
    assert (every.tpr.low, every.tpr.high) == pytest.approx((1 - theirs.high, 1.0))
    assert none.tpr_pairs.high < none.tpr.high


def test_patients_count_in_a_stratum_by_their_pairs_there():
    # Six patients of five pairs in the one stratum; of the other, one patient has all but five of thirty pairs.
    patients = np.r_[np.repeat(np.arange(6), 5), np.repeat(np.arange(6), [25, 1, 1, 1, 1, 1])]
    even, uneven = tpr_by_stratum(np.zeros(60), np.repeat([0, 1], 30), patients, 0.5, strata=2, runs=50)
    effective, z2 = 30**2 / (25**2 + 5), 1.959964**2
    assert (even.patients, uneven.patients) == (6, 6)
    assert even.tpr.high == pytest.approx(z2 / (6 + z2), abs=1e-6)
    assert uneven.tpr.high == pytest.approx(z2 / (effective + z2), abs=1e-6)


def test_an_empty_stratum_is_nan_with_a_reason_never_zero():
    empty, full = tpr_by_stratum([1.0, 0.0], [1, 1], ["a", "b"], 0.5, strata=2, runs=50)
    assert math.isnan(empty.tpr.value)
    assert math.isnan(empty.tpr_pairs.low)
    assert (empty.pairs, empty.patients, empty.why_undefined) == (0, 0, "no genuine pair")
    assert (full.tpr.value, full.why_undefined) == (0.5, None)


def test_one_patient_has_a_rate_but_no_interval_over_patients():
    one, rest = tpr_by_stratum([1.0, 0.0, 1.0, 1.0], [0, 0, 1, 1], [7, 7, 8, 9], 0.5, strata=2, runs=50)
    assert one.tpr.value == 0.5
    assert math.isnan(one.tpr.low)
    assert math.isnan(one.tpr.high)
    assert one.why_undefined == "one patient: no interval over patients"
    assert one.tpr_pairs.low < 0.5 < one.tpr_pairs.high
    assert (rest.tpr.value, rest.patients) == (1.0, 2)


def test_a_score_on_the_threshold_is_accepted():
    (rate,) = tpr_by_stratum([0.5, 0.5, 0.4], [0, 0, 0], [1, 2, 3], 0.5, strata=1, runs=50)
    assert rate.tpr.value == pytest.approx(2 / 3)
    (none,) = tpr_by_stratum([0.5, 0.5, 0.4], [0, 0, 0], [1, 2, 3], math.inf, strata=1, runs=50)
    assert none.tpr.value == 0.0


def test_unknown_strata_are_in_none():
    found = tpr_by_stratum([1.0, 1.0, 0.0], [np.nan, 0, 1], [1, 2, 3], 0.5, strata=2, runs=50)
    assert [rate.pairs for rate in found] == [1, 1]
    none = tpr_by_stratum([1.0], [np.nan], [1], 0.5, strata=2, runs=50)
    assert [rate.why_undefined for rate in none] == ["no genuine pair"] * 2
    nothing = tpr_by_stratum([], [], [], 0.5, strata=2, runs=50)
    assert [rate.pairs for rate in nothing] == [0, 0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"scores": [np.nan, 1.0]}, "NaN"),
        ({"threshold": math.nan}, "threshold is NaN"),
        ({"stratum": [0, 2]}, "stratum 2 is none of 0 to 1"),
        ({"stratum": [0, 0.5]}, r"stratum 0\.5 is none"),
        ({"stratum": [0, -1]}, "stratum -1 is none"),
        ({"stratum": [[0, 1]]}, "one-dimensional"),
        ({"stratum": [0]}, "as many strata and patients"),
        ({"patients": [1.0, 2.0]}, "identifiers must be whole numbers"),
        ({"runs": 0}, "at least one run"),
        ({"level": 1.0}, "level lies between"),
    ],
)
def test_wrong_input_is_refused(change, what):
    given = {"scores": [0.0, 1.0], "stratum": [0, 1], "patients": [1, 2], "threshold": 0.5, "strata": 2} | change
    with pytest.raises(ValueError, match=what):
        tpr_by_stratum(**given)
    with pytest.raises(ValueError, match="is not a share"):
        wilson_interval(3, 2)


def test_patients_may_be_numbers_or_text(pairs):
    scores, stratum, patients = pairs
    names = np.array([f"patient {patient}" for patient in patients[::-1]])
    as_text = tpr_by_stratum(scores[::-1], stratum[::-1], names, 0.4, strata=STRATA, runs=50)
    as_numbers = tpr_by_stratum(scores[::-1], stratum[::-1], patients[::-1] * 10**12, 0.4, strata=STRATA, runs=50)
    assert repr(as_text) == repr(as_numbers)
