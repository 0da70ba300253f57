"""Figures without each patient from one pass over the rankings, against ranking the rest again."""

import numpy as np
import pytest

from reidbench.metrics import euclidean_scores, leave_patients_out, rank_queries
from reidbench.metrics.retrieval.gallery_influence import MAP_AT_R, MAP_AT_R_PATIENTS, PRECISION_AT_1, R_PRECISION

ROWS = (
    (MAP_AT_R_PATIENTS, "average_precision", "patient"),
    (MAP_AT_R, "average_precision", "image"),
    (R_PRECISION, "r_precision", "image"),
    (PRECISION_AT_1, "precision_at_1", "image"),
)


def ranked(scores, patients, pictures=None, **options):
    ids = np.arange(len(patients))
    both = None if pictures is None else (pictures, pictures)
    return rank_queries(lambda rows: scores[rows], patients, patients, ids, ids, pictures=both, **options)


def mean(values, patients, each):
    asked = ~np.isnan(values)
    values, patients = values[asked], patients[asked]
    if each == "image":
        return values.mean()
    return np.mean([values[patients == one].mean() for one in np.unique(patients)])


def again_without_each(scores, patients, pictures, name, each):
    """The whole retrieval made again without each patient, as probe and in the gallery."""
    found = []
    for one in dict.fromkeys(patients.tolist()):
        rest = np.flatnonzero(patients != one)
        left = None if pictures is None else pictures[rest]
        ranks = ranked(scores[np.ix_(rest, rest)], patients[rest], left)
        found.append(mean(getattr(ranks, name), patients[rest], each))
    return found


def cohort(seed, skew):
    """Patients of very unlike numbers of images, some with one alone, in an order that mixes them."""
    rng = np.random.default_rng(seed)
    images = np.clip(np.exp(rng.normal(1, skew, 14)).astype(int), 1, 25)
    return rng.permutation(np.repeat(np.arange(14) * 7 + 3, images)), rng


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize("skew", [0.3, 1.2])
def test_leaving_a_patient_out_is_ranking_the_rest_again(decimals, skew):
    for seed in range(3):
        patients, rng = cohort(seed, skew)
        scores = rng.normal(size=(len(patients), len(patients))) + 1.2 * (patients[:, None] == patients)
        scores = np.round(scores, decimals)
        ranks = ranked(scores, patients, influence=True, block=5)
        for row, name, each in ROWS:
            found = leave_patients_out(getattr(ranks, name), patients, ranks.influence, row, each=each)
            assert found.value == pytest.approx(mean(getattr(ranks, name), patients, each))
            assert found.patients.tolist() == list(dict.fromkeys(patients.tolist()))
            assert found.without == pytest.approx(again_without_each(scores, patients, None, name, each), abs=1e-9)


def test_copies_of_a_picture_are_left_out_as_ever():
    patients, rng = cohort(5, 1.0)
    pictures = np.arange(len(patients))
    heavy = np.flatnonzero(
        patients == np.unique(patients)[np.bincount(np.unique(patients, return_inverse=True)[1]).argmax()]
    )
    pictures[heavy[1]] = pictures[heavy[0]]
    scores = np.round(rng.normal(size=(len(patients), len(patients))), 1)
    ranks = ranked(scores, patients, pictures, influence=True)
    for row, name, each in ROWS:
        found = leave_patients_out(getattr(ranks, name), patients, ranks.influence, row, each=each)
        assert found.without == pytest.approx(again_without_each(scores, patients, pictures, name, each), abs=1e-9)


def test_equal_scores_throughout_are_expectations():
    patients = np.array([4, 4, 4, 9, 9, 1, 2, 2])
    scores = np.zeros((8, 8))
    ranks = ranked(scores, patients, influence=True)
    for row, name, each in ROWS:
        found = leave_patients_out(getattr(ranks, name), patients, ranks.influence, row, each=each)
        assert found.without == pytest.approx(again_without_each(scores, patients, None, name, each), abs=1e-9)


def test_threads_blocks_and_ways_of_scoring_change_nothing(monkeypatch):
    patients, rng = cohort(7, 1.0)
    vectors = rng.normal(size=(len(patients), 6)).astype(np.float32)
    ids = np.arange(len(patients))
    found = []
    for threads in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        monkeypatch.setattr("reidbench.metrics.retrieval.ranking.threads", lambda threads=threads: threads)
        for block in (4, 64):
            ranks = rank_queries(
                euclidean_scores(vectors, vectors), patients, patients, ids, ids, block, influence=True
            )
            found.append(ranks.influence.gains)
    assert all(np.array_equal(one, found[0]) for one in found)
    assert found[0].any()


def test_an_infinite_score_is_refused_as_ever():
    patients = np.array([0, 0, 1, 1])
    scores = np.zeros((4, 4))
    scores[1, 2] = np.inf
    with pytest.raises(ValueError, match="not all finite"):
        ranked(scores, patients, influence=True)
    scores[1, 2] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        ranked(scores, patients, influence=True)


def test_probes_of_a_patient_without_gallery_images_are_refused():
    patients = np.array([0, 0, 1, 1])
    ranks = ranked(np.eye(4), patients, influence=True)
    with pytest.raises(ValueError, match="none of the gallery's"):
        leave_patients_out([0.5], [3], ranks.influence, MAP_AT_R)
    with pytest.raises(ValueError, match="shape"):
        leave_patients_out([0.5], [0, 1], ranks.influence, MAP_AT_R)
