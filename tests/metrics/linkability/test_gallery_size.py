"""Success by the size of the gallery: against drawing galleries, scipy's distributions, and a known model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reidbench.metrics.linkability.gallery_size import first_among, fit_model, rivals, success_by_size, success_of_model

PATIENTS = np.repeat(np.arange(15), 3)


def matrix(seed, strength=1.5, images=45, patients=PATIENTS):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(images, images)) + strength * (patients[:, None] == patients[None])


@pytest.mark.parametrize("decimals", [6, 0])
def test_it_is_the_mean_over_galleries_that_are_drawn(decimals):
    scores = matrix(0).round(decimals)
    found = rivals(lambda rows: scores[rows], PATIENTS)
    rng = np.random.default_rng(1)
    for gallery in (1, 2, 10, 43):
        exact = first_among(found, gallery)
        for line in range(0, len(exact), 17):
            probe = found.probes[line]
            mates = np.flatnonzero((PATIENTS[probe] == PATIENTS) & (np.arange(45) != probe))
            right = scores[probe, mates[line - np.flatnonzero(found.probes == probe)[0]]]
            others = scores[probe, PATIENTS[probe] != PATIENTS]
            hits = []
            for _ in range(800):
                drawn = rng.choice(others, gallery - 1, replace=False)
                hits.append((drawn > right).sum() == 0 and rng.random() < 1 / (1 + (drawn == right).sum()))
            assert exact[line] == pytest.approx(np.mean(hits), abs=0.08)


def test_without_ties_none_of_the_better_is_drawn_as_scipys_hypergeometric_has_it():
    scores = matrix(2)
    found = rivals(lambda rows: scores[rows], PATIENTS)
    expected = stats.hypergeom(found.others, found.above, 20).pmf(0)
    np.testing.assert_allclose(first_among(found, 21), expected, rtol=1e-9)
    assert np.isnan(first_among(found, 44)).all(), "there are 42 others"
    with pytest.raises(ValueError, match="at least one"):
        first_among(found, 0)


def test_rivals_are_counted_block_by_block_among_others_alone(monkeypatch):
    scores = matrix(3).round(1)
    monkeypatch.setattr("reidbench.metrics.linkability.gallery_size.BLOCK_SCORES", 45 * 4)
    found = rivals(lambda rows: scores[rows], PATIENTS)
    line = 0
    for probe in range(45):
        for mate in range(45):
            if mate == probe or PATIENTS[mate] != PATIENTS[probe]:
                continue
            others = scores[probe, PATIENTS[probe] != PATIENTS]
            assert (found.probes[line], found.patients[line]) == (probe, PATIENTS[probe])
            assert found.above[line] == (others > scores[probe, mate]).sum()
            assert found.tied[line] == (others == scores[probe, mate]).sum()
            line += 1
    assert line == len(found.above)


def test_a_constant_score_is_one_in_the_size_of_the_gallery():
    found = rivals(lambda rows: np.zeros((45, 45))[rows], PATIENTS)
    for gallery in (1, 5, 43):
        np.testing.assert_allclose(first_among(found, gallery), 1 / gallery)
    beyond = success_by_size(found, [10_000], runs=20)[0]
    assert beyond.extrapolated
    assert beyond.precision_at_1.value < 0.001


def test_figures_count_patients_once_and_say_where_they_are_extrapolated():
    scores = matrix(4)
    found = rivals(lambda rows: scores[rows], PATIENTS)
    inside, beyond = success_by_size(found, [20, 1000], runs=200)
    values = first_among(found, 20)
    by_probe = {probe: values[found.probes == probe].mean() for probe in range(45)}
    by_patient = [[by_probe[probe] for probe in range(45) if PATIENTS[probe] == one] for one in range(15)]
    assert inside.precision_at_1.value == pytest.approx(np.mean([np.mean(each) for each in by_patient]))
    some = np.mean([1 - np.prod([1 - one for one in each]) for each in by_patient])
    assert inside.patients_found.value == pytest.approx(some)
    assert (inside.extrapolated, beyond.extrapolated, beyond.patients_found) == (False, True, None)
    assert beyond.precision_at_1.low < beyond.precision_at_1.value < beyond.precision_at_1.high
    assert beyond.precision_at_1.value < inside.precision_at_1.value
    assert success_by_size(rivals(lambda rows: np.zeros((3, 3))[rows], np.arange(3)), [2]) == []


def test_the_model_is_found_again_and_says_what_a_larger_cohort_would():
    alpha, beta = 0.3, 40.0
    above = stats.betabinom(500, alpha, beta).rvs(6000, random_state=0).astype(float)
    found = fit_model(above, np.full(6000, 500.0), np.ones(6000))
    assert found == pytest.approx((alpha, beta), rel=0.1)
    loss = [
        -stats.betabinom(500, *shape).logpmf(above).sum()
        for shape in (found, (found[0] * 1.02, found[1]), (found[0], found[1] * 0.98))
    ]
    assert loss[0] == min(loss)
    shares = stats.beta(alpha, beta).rvs(200_000, random_state=1)
    for gallery in (1, 1000, 100_000):
        assert success_of_model((alpha, beta), gallery) == pytest.approx(
            np.mean((1 - shares) ** (gallery - 1)), rel=0.02
        )


def test_an_extrapolation_from_a_part_of_a_cohort_holds_in_the_whole():
    rng = np.random.default_rng(7)
    patients = np.repeat(np.arange(400), 3)
    vectors = (rng.normal(size=(400, 1, 6)) + 0.45 * rng.normal(size=(400, 3, 6))).reshape(-1, 6)

    def block(which):
        return lambda rows: -((vectors[which][rows, None] - vectors[which][None]) ** 2).sum(axis=2)

    everybody, few = np.arange(1200), np.flatnonzero(patients < 80)
    (truth,) = success_by_size(rivals(block(everybody), patients), [1100], runs=50)
    (said,) = success_by_size(rivals(block(few), patients[few]), [1100], runs=50)
    assert said.extrapolated
    assert not truth.extrapolated
    assert said.precision_at_1.low - 0.03 <= truth.precision_at_1.value <= said.precision_at_1.high + 0.03


def test_constant_scores_are_at_chance_beyond_the_cohort_too():
    scores = np.zeros((45, 45))
    found = success_by_size(rivals(lambda rows: scores[rows], PATIENTS), [10, 100, 1000], runs=50, model_runs=3)
    assert [one.extrapolated for one in found] == [False, True, True]
    for one in found:
        assert one.precision_at_1.value == pytest.approx(1 / one.gallery, rel=0.15)
