"""Assignments against trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reidbench.metrics.linkability.closed_world import closed_world

PATIENTS = np.repeat(np.arange(6), 2)


def test_the_assignment_is_the_best_of_all_permutations():
    matrix = np.random.default_rng(0).normal(size=(12, 12)) + 0.7 * (PATIENTS[:, None] == PATIENTS[None])
    asked = []

    def scores(rows, columns):
        asked.append((rows, columns))
        return matrix[np.ix_(rows, columns)]

    found = closed_world(scores, PATIENTS, draws=4, seed=2)
    expected = []
    for rows, columns in asked:
        best = max(
            itertools.permutations(range(6)), key=lambda p: sum(matrix[rows[i], columns[p[i]]] for i in range(6))
        )
        expected += [float(PATIENTS[columns[best[i]]] == PATIENTS[rows[i]]) for i in range(6)]
        assert not set(rows.tolist()) & set(columns.tolist()), "never an image with its own release"
    assert found.correct.tolist() == expected
    assert 0 < np.mean(expected) < 1
    assert (found.chance == 1 / 6).all()


def test_it_beats_each_for_itself_where_images_attract_many():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(60), 2)
    popular = 4 * rng.normal(size=120)
    matrix = rng.normal(size=(120, 120)) + 4 * (patients[:, None] == patients[None]) + popular[None]
    found = closed_world(lambda rows, columns: matrix[np.ix_(rows, columns)], patients, draws=3)
    alone = []
    closed_world(
        lambda rows, columns: (
            alone.append(np.mean(patients[columns[matrix[np.ix_(rows, columns)].argmax(axis=1)]] == patients[rows])),
            matrix[np.ix_(rows, columns)],
        )[1],
        patients,
        draws=3,
    )
    assert found.correct.mean() > 0.8 > 0.4 > np.mean(alone)


@pytest.mark.parametrize("rows_differ", [False, True])
def test_a_constant_gallery_is_chance_exactly(rows_differ):
    held = np.random.default_rng(0).normal(size=12) if rows_differ else np.zeros(12)
    found = closed_world(lambda rows, columns: np.repeat(held[rows][:, None], 6, axis=1), PATIENTS)
    np.testing.assert_allclose(found.correct, 1 / 6)


def test_equal_published_images_share_their_links():
    # Two patients are published as one image, the others apart.
    place = np.array([0, 0, 1, 2, 3, 4])
    similar = (place[:, None] == place[None]).astype(float)
    found = closed_world(lambda rows, columns: similar[np.ix_(PATIENTS[rows], PATIENTS[columns])], PATIENTS)
    by_patient = {one: set(found.correct[found.patients == one].tolist()) for one in range(6)}
    assert by_patient == {0: {0.5}, 1: {0.5}, 2: {1.0}, 3: {1.0}, 4: {1.0}, 5: {1.0}}


def test_many_patients_are_assigned_in_parts():
    matrix = (PATIENTS[:, None] == PATIENTS[None]).astype(float)
    sizes = []

    def scores(rows, columns):
        sizes.append(len(rows))
        return matrix[np.ix_(rows, columns)]

    found = closed_world(scores, PATIENTS, draws=2, most=4)
    assert sizes == [3, 3, 3, 3]
    assert (found.correct == 1).all()
    assert (found.chance == 1 / 3).all()


def test_nobody_with_two_images_and_scores_that_are_not_finite():
    assert len(closed_world(lambda rows, columns: np.zeros((0, 0)), np.arange(4)).correct) == 0
    with pytest.raises(ValueError, match="finite"):
        closed_world(lambda rows, columns: np.full((6, 6), np.nan), PATIENTS)
