"""The AUC over all pairs of a matrix against scikit-learn, with every pair listed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reidbench.metrics import AllPairs


def listed(scores, patients, pictures):
    """The area of all pairs written out, without images and their copies against themselves."""
    same = patients[:, None] == patients
    other = ~(same & (pictures[:, None] == pictures))
    return roc_auc_score(same[other], scores[other])


def in_blocks(scores, patients, pictures, block):
    found = AllPairs(patients, patients, pictures, pictures)
    for start in range(0, len(scores), block):
        rows = slice(start, start + block)
        found.add(rows, scores[rows])
    return found.auc()


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("decimals", [1, 9])
def test_it_is_the_area_of_scikit_learn_over_all_pairs(block, decimals):
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 20, 90)
    scores = rng.normal(size=(90, 90)) + 1.5 * (patients[:, None] == patients)
    scores = np.round(scores, decimals).astype(np.float32)
    # Two images of one patient are one picture.
    pictures = np.arange(90)
    one, other, *_ = np.flatnonzero(patients == np.bincount(patients).argmax())
    pictures[other] = pictures[one]
    assert in_blocks(scores, patients, pictures, block) == pytest.approx(listed(scores, patients, pictures), abs=1e-4)


def test_a_constant_matrix_is_one_half_and_perfect_separation_one():
    patients = np.repeat(np.arange(4), 3)
    same = patients[:, None] == patients
    assert in_blocks(np.full((12, 12), -3.0), patients, np.arange(12), 5) == 0.5
    assert in_blocks(same.astype(float), patients, np.arange(12), 5) == 1
    assert in_blocks(-same.astype(float), patients, np.arange(12), 5) == 0
    # A first block that is constant, and others far beyond it.
    wide = np.where(same, 1e6, -1e6)
    wide[:2] = 0
    assert in_blocks(wide, patients, np.arange(12), 2) == pytest.approx(listed(wide, patients, np.arange(12)))


@pytest.mark.parametrize("patients", [[0, 1, 2], [0, 0, 0], []])
def test_it_is_undefined_without_both_kinds_of_pairs(patients):
    count = len(patients)
    assert np.isnan(in_blocks(np.zeros((count, count)), np.array(patients, dtype=int), np.arange(count), 2))


def test_copies_of_different_patients_are_pairs_all_the_same():
    scores, patients = np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), np.array([0, 1, 0])
    assert in_blocks(scores, patients, np.array([5, 5, 6]), 3) == pytest.approx(
        listed(scores, patients, np.array([5, 5, 6]))
    )


def test_every_image_needs_a_patient_and_a_picture():
    with pytest.raises(ValueError, match="one patient and one picture"):
        AllPairs([1, 2], [1, 2], [1], [1, 2])
