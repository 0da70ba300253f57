"""Several known images: every figure against the same written out query by query."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reidbench import metrics
from reidbench.metrics.linkability.multi_shot import draw_shots, search_images, search_sets

PATIENTS = np.array([0] * 8 + [1] * 5 + [2] * 6 + [3] * 9 + [4] * 1 + [5] * 7)
MATRIX = np.random.default_rng(1).normal(size=(36, 36)) + 1.0 * (PATIENTS[:, None] == PATIENTS[None])


def mean_of(matrix):
    return lambda rows: matrix[rows].mean(axis=1)


def between(matrix):
    return lambda rows, columns: matrix[rows[:, None, :, None], columns[None, :, None, :]].mean(axis=(2, 3))


def by_hand(matrix, shots, m):
    """AP@R and P@1 of each query, as the mean over all orders of tied images."""
    precision, first = [], []
    for known in shots.known:
        mine = PATIENTS[known[0]]
        gallery = [image for image in range(len(PATIENTS)) if image not in known]
        relevant = [image for image in gallery if PATIENTS[image] == mine]
        for begin in range(0, len(known), m):
            score = {image: sum(matrix[row, image] for row in known[begin : begin + m]) / m for image in gallery}
            found = []
            for seed in range(200 if len(set(score.values())) < len(score) else 1):
                order = np.random.default_rng(seed).permutation(gallery).tolist()
                order.sort(key=lambda image: -score[image])
                hits = [image in relevant for image in order]
                at = [sum(hits[: i + 1]) / (i + 1) for i in range(len(relevant)) if hits[i]]
                found.append((sum(at) / len(relevant), hits[0]))
            precision.append(np.mean([one for one, _ in found]))
            first.append(np.mean([one for _, one in found]))
    return precision, first


@pytest.mark.parametrize("m", [1, 2, 4])
def test_known_images_search_a_gallery_without_any_of_them(m):
    shots = draw_shots(PATIENTS, seed=3)
    found = search_images(mean_of(MATRIX), PATIENTS, shots, m)
    precision, first = by_hand(MATRIX, shots, m)
    np.testing.assert_allclose(found.average_precision, precision, atol=1e-12)
    np.testing.assert_allclose(found.precision_at_1, first, atol=1e-12)
    assert set(found.patients.tolist()) == {0, 2, 3, 5}


def test_with_one_known_image_it_is_the_retrieval_of_that_image_without_the_others():
    shots = draw_shots(PATIENTS, seed=3)
    found = search_images(mean_of(MATRIX), PATIENTS, shots, 1)
    for query, (known, row) in enumerate((rows, row) for rows in shots.known for row in rows):
        rest = np.setdiff1d(np.arange(36), np.setdiff1d(known, row))
        ranks = metrics.rank_queries(
            lambda part, row=row, rest=rest: MATRIX[row][rest][None], PATIENTS[[row]], PATIENTS[rest], [row], rest
        )
        assert found.average_precision[query] == pytest.approx(ranks.average_precision[0])
        assert found.precision_at_1[query] == pytest.approx(ranks.precision_at_1[0])


def test_the_same_images_of_the_same_patients_are_known_for_every_number():
    shots = draw_shots(PATIENTS, seed=3)
    patients = np.unique(shots.patients)
    for m in (1, 2, 4):
        assert (np.unique(search_images(mean_of(MATRIX), PATIENTS, shots, m).patients) == patients).all()
    assert all(len(set(known.tolist())) == 4 for known in shots.known)
    again = draw_shots(PATIENTS, seed=3)
    assert (again.known == shots.known).all()
    assert (draw_shots(PATIENTS, seed=4).known != shots.known).any()
    with pytest.raises(ValueError, match="sets of 3 images do not divide 4"):
        search_images(mean_of(MATRIX), PATIENTS, shots, 3)


def test_ties_count_by_their_expectation():
    tied = np.round(MATRIX)
    shots = draw_shots(PATIENTS, seed=5)
    found = search_images(mean_of(tied), PATIENTS, shots, 1)
    precision, first = by_hand(tied, shots, 1)
    assert np.mean(found.average_precision) == pytest.approx(np.mean(precision), abs=0.01)
    assert np.mean(found.precision_at_1) == pytest.approx(np.mean(first), abs=0.01)


def test_a_constant_score_is_chance_for_every_number_of_images():
    constant = np.zeros((36, 36))
    shots = draw_shots(PATIENTS, seed=0)
    for m in (1, 2, 4):
        found = search_images(mean_of(constant), PATIENTS, shots, m)
        left = np.bincount(PATIENTS)[found.patients] - 4
        np.testing.assert_allclose(found.precision_at_1, left / 32)
    sets = draw_shots(PATIENTS, sets=True, seed=0)
    assert set(sets.patients.tolist()) == {0, 3}
    np.testing.assert_allclose(search_sets(between(constant), sets, 2).precision_at_1, 1 / 2)


@pytest.mark.parametrize("m", [1, 2, 4])
def test_sets_search_one_set_of_every_patient(m):
    patients = np.repeat(np.arange(7), 9)
    matrix = np.random.default_rng(2).normal(size=(63, 63)) + 0.5 * (patients[:, None] == patients[None])
    shots = draw_shots(patients, sets=True, seed=1)
    found = search_sets(between(matrix), shots, m)
    expected = []
    for draw, part in itertools.product(range(3), range(4 // m)):
        mine = [(k[part * m :][:m], p[part * m :][:m]) for k, p in zip(shots.known[draw::3], shots.published[draw::3])]
        for one, (known, _) in enumerate(mine):
            score = [np.mean([matrix[a, b] for a in known for b in other]) for _, other in mine]
            expected.append(float(np.argmax(score) == one))
    assert found.precision_at_1.tolist() == expected
    assert not any(set(k.tolist()) & set(p.tolist()) for k, p in zip(shots.known, shots.published))


def test_nothing_is_asked_of_patients_with_too_few_images():
    shots = draw_shots(np.array([0, 0, 1, 1, 1]))
    assert len(search_images(mean_of(np.zeros((5, 5))), np.array([0, 0, 1, 1, 1]), shots, 4).patients) == 0
    assert len(search_sets(between(np.zeros((5, 5))), draw_shots(np.arange(5), sets=True), 4).patients) == 0
    with pytest.raises(ValueError, match="at least 1"):
        draw_shots(PATIENTS, most=0)


def test_a_score_that_is_not_finite_is_refused():
    shots = draw_shots(PATIENTS)
    with pytest.raises(ValueError, match="not all finite"):
        search_images(mean_of(np.full((36, 36), np.nan)), PATIENTS, shots, 2)


def test_of_many_patients_so_many_are_drawn_each_with_its_own_images():
    every, some = draw_shots(PATIENTS, seed=3), draw_shots(PATIENTS, seed=3, patients_at_most=2)
    assert len(np.unique(every.patients)) == 4
    assert len(np.unique(some.patients)) == 2
    for patient in np.unique(some.patients):
        np.testing.assert_array_equal(some.known[some.patients == patient], every.known[every.patients == patient])
    assert len(draw_shots(PATIENTS, seed=3, patients_at_most=4).known) == len(every.known)
