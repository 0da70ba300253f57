"""The AUC over all pairs of a matrix against scikit-learn, with every pair listed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reidbench.metrics import AllPairs
from reidbench.metrics.verification import all_pairs


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


@pytest.mark.parametrize("together", [all_pairs.MOST_TOGETHER, 1])
@pytest.mark.parametrize("held", [all_pairs.MOST_HELD, 3000, 0])
@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("decimals", [1, 9])
def test_it_is_the_area_of_scikit_learn_over_all_pairs(block, decimals, held, together, monkeypatch):
    # Beyond what is held, pairs are counted between quantiles of it, or in even steps.
    monkeypatch.setattr(all_pairs, "MOST_TOGETHER", together)
    monkeypatch.setattr(all_pairs, "MOST_HELD", held)
    monkeypatch.setattr(all_pairs, "MOST_DOUBT", 1)
    exact = held > 90 * 90 or (decimals == 1 and held)
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 20, 90)
    scores = rng.normal(size=(90, 90)) + 1.5 * (patients[:, None] == patients)
    scores = np.round(scores, decimals).astype(np.float32)
    # Two images of one patient are one picture.
    pictures = np.arange(90)
    one, other, *_ = np.flatnonzero(patients == np.bincount(patients).argmax())
    pictures[other] = pictures[one]
    found = in_blocks(scores, patients, pictures, block)
    off = 1e-12 if exact else 0.02 if block == 1 and not held else 2e-3
    assert found == pytest.approx(listed(scores, patients, pictures), abs=off)


def odd_scores(kind):
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 5)
    scores = rng.normal(size=(200, 200)) + 2.0 * (patients[:, None] == patients)
    if kind == "an outlier":
        scores[3, 190] = -1e6
    if kind == "near 1":
        scores = 1 / (1 + np.exp(-(14 + scores)))
    if kind == "near 0":
        scores = 1 / (1 + np.exp(14 - scores))
    if kind == "a wider rest":
        scores[:10], scores[10:] = 0, 100 * scores[10:]
    return scores, patients


@pytest.mark.parametrize("kind", ["an outlier", "near 1", "near 0", "a wider rest"])
@pytest.mark.parametrize("held", [all_pairs.MOST_HELD, 20_000])
def test_crowded_and_outlying_scores_keep_their_order(kind, held, monkeypatch):
    monkeypatch.setattr(all_pairs, "MOST_HELD", held)
    scores, patients = odd_scores(kind)
    pictures = np.arange(200)
    assert in_blocks(scores, patients, pictures, 50) == pytest.approx(listed(scores, patients, pictures), abs=5e-4)


def test_an_area_in_doubt_is_not_told(monkeypatch):
    # Edges come from the first block, of equal scores: none lies among the others.
    monkeypatch.setattr(all_pairs, "MOST_HELD", 0)
    scores, patients = odd_scores("a wider rest")
    assert np.isnan(in_blocks(scores, patients, np.arange(200), 10))


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


def test_a_constant_matrix_is_one_half_also_where_it_is_only_counted(monkeypatch):
    monkeypatch.setattr(all_pairs, "MOST_HELD", 30)
    patients = np.repeat(np.arange(4), 3)
    assert in_blocks(np.full((12, 12), 7.0), patients, np.arange(12), 2) == 0.5


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


def test_steps_are_even_only_where_scores_spread_over_them():
    rng = np.random.default_rng(2)
    spread = rng.normal(size=2**18).astype(np.float32)
    crowded = np.append(spread, np.float32(1e6))
    kinds = [type(all_pairs._Counts([scores])._steps) for scores in (spread, crowded, np.zeros(9), np.round(spread))]
    assert kinds == [all_pairs._Even, all_pairs._Quantiles, all_pairs._Quantiles, all_pairs._Quantiles]
    # Both count every score once.
    for scores in (spread, np.round(spread)):
        for steps in (all_pairs._Even(-4, 4), all_pairs._Quantiles(np.sort(scores[:1000]))):
            counts = steps.count(scores)
            assert (len(counts), counts.sum()) == (len(steps.one_score), len(scores))
