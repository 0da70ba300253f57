"""Pairs of patients: maxima against a loop, and calibration against scipy and against pairs drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from reidbench.metrics import FalseMatches, patient_pair_maxima, q_values


@pytest.mark.parametrize("block", [1, 3, 5, 1000, None])
def test_the_maximum_over_the_images_of_each_pair_of_patients(block):
    rng = np.random.default_rng(0)
    left, right = np.repeat(np.arange(6), [1, 4, 2, 1, 5, 1]), np.repeat(np.arange(4), [3, 1, 1, 2])
    scores = rng.normal(size=(len(left), len(right))).astype(np.float32)
    parts = list(patient_pair_maxima(lambda rows: scores[rows], left, right, block))
    assert [first for first, _ in parts] == np.cumsum([0, *(len(part) for _, part in parts)])[:-1].tolist()
    wanted = [[scores[np.ix_(left == i, right == j)].max() for j in range(4)] for i in range(6)]
    assert np.array_equal(np.concatenate([part for _, part in parts]), wanted)


@pytest.mark.parametrize("left", [[0, 2], [1, 1], [0, 1, 0]])
def test_patients_out_of_order_are_refused(left):
    with pytest.raises(ValueError, match="rising order"):
        list(patient_pair_maxima(lambda rows: np.zeros((3, 2))[rows], left, [0, 1]))


@pytest.mark.parametrize("scores", [np.full((2, 2), np.nan), np.zeros((2, 3))])
def test_scores_that_are_none_are_refused(scores):
    with pytest.raises(ValueError, match=r"finite|shape"):
        list(patient_pair_maxima(lambda rows: scores[rows], [0, 1], [0, 1]))


def test_of_one_kind_it_is_the_permutation_p_value_and_benjamini_hochberg():
    rng = np.random.default_rng(1)
    impostors, searched = rng.normal(size=500).round(1), np.sort(rng.normal(0.4, 1.5, size=300).round(1))[::-1]
    found = FalseMatches.calibrate(impostors, np.zeros(500, dtype=int), [300])
    p_values = np.array([(1 + (impostors >= score).sum()) / 501 for score in searched])
    assert found.expected(searched) == pytest.approx(300 * p_values)
    assert q_values(found.expected(searched)) == pytest.approx(false_discovery_control(p_values, method="bh"))


def test_kinds_come_as_often_as_among_what_is_searched():
    # Kind 1 scores higher and is rare among known impostors but common among what is searched.
    rng = np.random.default_rng(2)

    def draw(few, many):
        return np.concatenate([rng.normal(size=few), rng.normal(2, size=many)]), np.repeat([0, 1], [few, many])

    scores, kinds = draw(20_000, 2_000)
    searched, searched_kinds = draw(2_000, 20_000)
    weighed = FalseMatches.calibrate(scores, kinds, np.bincount(searched_kinds))
    careless = FalseMatches.calibrate(scores, np.zeros_like(kinds), [len(searched)])
    for threshold in (2.0, 3.0, 4.0):
        reached = (searched >= threshold).sum()
        assert weighed.expected([threshold])[0] == pytest.approx(reached, rel=0.25)
        assert careless.expected([threshold])[0] < 0.4 * reached


def test_no_score_is_out_of_reach_of_chance_and_none_expects_more_than_all():
    found = FalseMatches.calibrate([0.0, 1.0], [0, 0], [30])
    assert found.expected([99.0, 1.0, 0.0, -5.0]).tolist() == [10, 20, 30, 30]
    assert q_values([]).tolist() == []
    with pytest.raises(ValueError, match="no impostor pair"):
        FalseMatches.calibrate([0.0], [0], [1, 1])
    with pytest.raises(ValueError, match="NaN"):
        FalseMatches.calibrate([np.nan], [0], [1])
