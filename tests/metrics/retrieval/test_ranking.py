"""Retrieval figures against pytorch-metric-learning, and under ties against every order there is."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from reidbench.metrics import chance_retrieval, euclidean_scores, rank_queries

# No deadline: a busy machine is no defect.
EXAMPLES = settings(max_examples=60, deadline=None)
FIGURES = ("average_precision", "r_precision", "precision_at_1", "best_rank", "mean_rank")


def by_hand(relevant_in_order: list[bool]) -> list[float]:
    """The five figures of one ranking without ties, from their definitions."""
    total = sum(relevant_in_order)
    precisions = [sum(relevant_in_order[: i + 1]) / (i + 1) * relevant_in_order[i] for i in range(total)]
    ranks = [i + 1 for i, relevant in enumerate(relevant_in_order) if relevant]
    return [
        sum(precisions) / total,
        sum(relevant_in_order[:total]) / total,
        float(relevant_in_order[0]),
        float(ranks[0]),
        sum(ranks) / total,
    ]


def over_every_order(scores: list[int], relevant: list[bool]) -> list[float]:
    """The mean of the five figures over all orders that agree with the scores."""
    groups = [
        [flag for score, flag in zip(scores, relevant) if score == level] for level in sorted(set(scores), reverse=True)
    ]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return np.mean([by_hand(list(itertools.chain(*order))) for order in orders], axis=0).tolist()


def ranks_within(scores, patients, **kwargs):
    """Every image asks for the others of its patient, as in the seed."""
    scores = np.asarray(scores)
    ids = [f"image {i}" for i in range(len(patients))]
    return rank_queries(lambda which: scores[which], patients, patients, ids, ids, **kwargs)


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=7))
def test_ties_count_as_the_mean_over_every_order(gallery):
    scores = [score for score, _ in gallery]
    relevant = [flag for _, flag in gallery]
    if not any(relevant):
        relevant[0] = True
    ranks = rank_queries(
        lambda which: np.array([scores], dtype=float),
        ["p"],
        ["p" if flag else "other" for flag in relevant],
        ["query"],
        [f"g{i}" for i in range(len(scores))],
    )
    ours = [getattr(ranks, figure)[0] for figure in FIGURES]
    np.testing.assert_allclose(ours, over_every_order(scores, relevant), atol=1e-12)


def test_untied_figures_are_pytorch_metric_learnings():
    rng = np.random.default_rng(1)
    patients = rng.integers(0, 60, size=300)
    patients[:7] = np.arange(1_000, 1_007)  # patients with one image: distractors that ask nothing
    embeddings = (rng.normal(size=(1_007, 16))[patients] * 0.6 + rng.normal(size=(300, 16))).astype(np.float32)
    ids = np.arange(300)
    ranks = rank_queries(euclidean_scores(embeddings, embeddings), patients, patients, ids, ids, block=64)
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "r_precision", "precision_at_1"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
    )
    theirs = calculator.get_accuracy(torch.from_numpy(embeddings), torch.from_numpy(patients))
    assert ranks.unasked >= 7
    assert np.nanmean(ranks.average_precision) == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-9)
    assert np.nanmean(ranks.r_precision) == pytest.approx(theirs["r_precision"], abs=1e-9)
    assert np.nanmean(ranks.precision_at_1) == pytest.approx(theirs["precision_at_1"], abs=1e-9)


@EXAMPLES
@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([1, 2, 5, 1_000]), st.booleans())
def test_the_first_images_alone_give_the_figures_of_the_whole_ranking(seed, images, levels, copies):
    """With few levels of scores most images are tied, many of them with images beyond the first R."""
    rng = np.random.default_rng(seed)
    patients = rng.integers(0, max(2, images // 4), images)
    scores = rng.integers(0, levels, (images, images)).astype(np.float32)
    ids = np.arange(images)
    pictures = rng.integers(0, images, images)
    given = {"pictures": (pictures, pictures)} if copies else {}
    whole, top = (
        rank_queries(lambda which: scores[which], patients, patients, ids, ids, whole=each, block=7, **given)
        for each in (True, False)
    )
    for figure in ("relevant", "candidates", "average_precision", "r_precision", "precision_at_1"):
        np.testing.assert_array_equal(getattr(top, figure), getattr(whole, figure))
    assert np.isnan(top.mean_rank).all()
    found = ~np.isnan(top.best_rank)
    np.testing.assert_array_equal(top.best_rank[found], whole.best_rank[found])
    # Where none is known, the first R hold none.
    assert not (whole.r_precision[~found] > 0).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_images_alone_refuse_scores_that_are_not_finite(value):
    scores = np.zeros((4, 4))
    scores[1, 3] = value
    with pytest.raises(ValueError, match=r"scores of queries 0\.\.\d are not all finite"):
        ranks_within(scores, [0, 0, 1, 1], whole=False)
    with pytest.raises(ValueError, match="needs the whole ranking"):
        ranks_within(np.zeros((4, 4)), [0, 0, 1, 1], whole=False, influence=True)


def test_separate_gallery_is_pytorch_metric_learnings():
    rng = np.random.default_rng(2)
    query_patients, gallery_patients = rng.integers(0, 20, size=50), rng.integers(0, 15, size=120)
    query = (query_patients[:, None] * 0.1 + rng.normal(size=(50, 8))).astype(np.float32)
    gallery = (gallery_patients[:, None] * 0.1 + rng.normal(size=(120, 8))).astype(np.float32)
    ranks = rank_queries(
        euclidean_scores(query, gallery), query_patients, gallery_patients, np.arange(50), np.arange(50, 170), block=7
    )
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "r_precision", "precision_at_1"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
    )
    theirs = calculator.get_accuracy(
        torch.from_numpy(query),
        torch.from_numpy(query_patients),
        torch.from_numpy(gallery),
        torch.from_numpy(gallery_patients),
    )
    assert (ranks.candidates == 120).all()
    assert np.nanmean(ranks.average_precision) == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-9)
    assert np.nanmean(ranks.r_precision) == pytest.approx(theirs["r_precision"], abs=1e-9)
    assert np.nanmean(ranks.precision_at_1) == pytest.approx(theirs["precision_at_1"], abs=1e-9)


def test_perfect_ranking_is_exactly_one():
    patients = np.repeat(np.arange(40), 7)
    scores = -np.abs(patients[:, None] - patients[None, :]) + np.random.default_rng(0).uniform(0, 0.4, (280, 280))
    ranks = ranks_within(scores, patients)
    for figure in ("average_precision", "r_precision", "precision_at_1", "best_rank"):
        assert (getattr(ranks, figure) == 1.0).all()
    assert (ranks.mean_rank == 3.5).all()


@pytest.mark.parametrize("block", [1, 2, 5, 6, 100])
def test_blocks_change_nothing(block):
    rng = np.random.default_rng(3)
    patients = np.array([0, 0, 1, 1, 1, 2])
    scores = rng.integers(0, 3, size=(6, 6)).astype(np.float32)
    asked = []

    def block_of(which):
        asked.append(which.stop - which.start)
        return scores[which]

    ids = np.arange(6)
    ranks = rank_queries(block_of, patients, patients, ids, ids, block=block)
    whole = ranks_within(scores, patients)
    assert max(asked) <= block
    for figure in FIGURES:
        np.testing.assert_array_equal(getattr(ranks, figure), getattr(whole, figure))


def grid(images: int, seed: int) -> np.ndarray:
    """Vectors of small whole numbers with a mean of 0: their distances are exact in single precision, and many tie."""
    half = np.random.default_rng(seed).integers(-2, 3, size=(images // 2, 6))
    return np.concatenate([half, -half]).astype(np.float32)


@pytest.mark.parametrize("block", [None, 1, 7, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_that_threads_fill_rank_as_the_whole_matrix_does(block, dtype):
    vectors = grid(400, 12).astype(dtype)
    patients = np.random.default_rng(13).integers(0, 90, size=400)
    pictures = np.arange(400)
    pictures[::9] = pictures[::9] - pictures[::9] % 2
    patients[pictures] = patients
    scores = -((vectors[:, None].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    ids = np.arange(400)
    given = rank_queries(lambda which: scores[which], patients, patients, ids, ids, pictures=(pictures, pictures))
    filled = rank_queries(
        euclidean_scores(vectors, vectors), patients, patients, ids, ids, block=block, pictures=(pictures, pictures)
    )
    for figure in (*FIGURES, "relevant", "candidates"):
        np.testing.assert_array_equal(getattr(filled, figure), getattr(given, figure))
    # Counted one by one, where the ranking puts the mean rank.
    query = int(np.argmax(filled.relevant))
    others = (pictures != pictures[query]) & (ids != query)
    mine = scores[query][others & (patients == patients[query])]
    rest = scores[query][others]
    by_count = [(rest > value).sum() + ((rest == value).sum() + 1) / 2 for value in mine]
    assert filled.mean_rank[query] == pytest.approx(np.mean(by_count), abs=1e-9)


def test_scores_that_overflow_are_refused_where_threads_fill_blocks():
    vectors = np.full((150, 4), 1e30, dtype=np.float32) * np.arange(150, dtype=np.float32)[:, None]
    patients, ids = np.arange(150) // 2, np.arange(150)
    with pytest.raises(ValueError, match="not all finite"), np.errstate(all="ignore"):
        rank_queries(euclidean_scores(vectors, vectors), patients, patients, ids, ids)


def test_memory_is_bounded_by_the_block():
    patients, ids = np.repeat(np.arange(750), 4), np.arange(3_000)
    embeddings = np.random.default_rng(9).normal(size=(3_000, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        rank_queries(euclidean_scores(embeddings, embeddings), patients, patients, ids, ids, block=20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All scores at once would be 36 MB, a block of them is 0.24 MB.
    assert peak < 6e6


def test_query_is_excluded_by_identity_and_not_as_the_nearest():
    # The other patient's image ties with the query itself; dropping "the nearest" could drop that one instead.
    scores = np.array([[1.0, 0.5, 1.0], [0.5, 1.0, 0.2], [1.0, 0.2, 1.0]])
    ranks = ranks_within(scores, ["a", "a", "b"])
    assert ranks.precision_at_1.tolist()[:2] == [0.0, 1.0]
    assert ranks.best_rank.tolist()[:2] == [2.0, 1.0]
    # The same scores with identifiers that say nothing is the query: it is then an image like any other.
    strangers = rank_queries(lambda which: scores[which], ["a", "a", "b"], ["a", "a", "b"], [0, 1, 2], [3, 4, 5])
    assert strangers.relevant.tolist() == [2, 2, 1]
    assert strangers.precision_at_1.tolist() == [0.5, 1.0, 0.5]


def test_lone_patients_ask_nothing_but_distract():
    ranks = ranks_within(np.zeros((3, 3)), ["a", "b", "c"])
    assert ranks.unasked == 3
    for figure in FIGURES:
        assert np.isnan(getattr(ranks, figure)).all()
    with_distractor = ranks_within([[9, 1, 2], [1, 9, 0], [2, 0, 9]], ["a", "a", "b"])
    assert with_distractor.asked.tolist() == [True, True, False]
    assert with_distractor.precision_at_1.tolist()[:2] == [0.0, 1.0]


def test_chance_is_what_constant_scores_give():
    patients = np.random.default_rng(4).integers(0, 12, size=50)
    ids = np.arange(50)
    constant = ranks_within(np.full((50, 50), 0.7), patients)
    chance = chance_retrieval(patients, patients, ids, ids)
    for figure in FIGURES:
        np.testing.assert_allclose(getattr(chance, figure), getattr(constant, figure), atol=1e-15)
    asked = chance.asked
    np.testing.assert_allclose(chance.precision_at_1[asked], chance.relevant[asked] / 49)
    np.testing.assert_allclose(chance.mean_rank[asked], 25.0)


def test_chance_is_the_mean_of_many_random_rankings():
    rng = np.random.default_rng(5)
    patients = np.repeat([0, 1, 2], [3, 5, 8])
    ids = np.arange(16)
    chance = chance_retrieval(patients, patients, ids, ids)
    drawn = np.array([ranks_within(rng.random((16, 16)), patients).average_precision for _ in range(1_000)])
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - chance.average_precision) < 4.5 * error).all()


@EXAMPLES
@given(st.integers(0, 2**32 - 1))
def test_monotone_rescaling_and_gallery_order_change_nothing(seed):
    rng = np.random.default_rng(seed)
    patients, ids = rng.integers(0, 4, size=12), np.arange(12)
    scores = rng.integers(-3, 3, size=(12, 12)).astype(float)
    order = rng.permutation(12)
    plain = ranks_within(scores, patients)
    rescaled = ranks_within(np.exp(scores), patients)
    moved = rank_queries(lambda which: scores[which][:, order], patients, patients[order], ids, ids[order])
    for figure in FIGURES:
        values = getattr(plain, figure)
        np.testing.assert_array_equal(getattr(rescaled, figure), values)
        np.testing.assert_array_equal(getattr(moved, figure), values)
    for figure in FIGURES[:3]:
        values = getattr(plain, figure)[plain.asked]
        assert ((values >= 0) & (values <= 1)).all()


def test_identical_gallery_images_tie_exactly():
    rng = np.random.default_rng(6)
    # Sizes at which matrix products work off most columns in wide registers and the rest otherwise.
    few = rng.normal(size=(3, 37)).astype(np.float32)
    gallery = few[np.arange(101) % 3]
    scores = euclidean_scores(rng.normal(size=(29, 37)).astype(np.float32), gallery)(slice(0, 29))
    for one in range(3):
        assert (scores[:, one::3] == scores[:, [one]]).all()


def test_euclidean_scores_order_by_distance():
    rng = np.random.default_rng(7)
    query, gallery = rng.normal(size=(20, 5)) + 100, rng.normal(size=(30, 5)) + 100
    distances = ((query[:, None] - gallery[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(euclidean_scores(query, gallery)(slice(3, 9)), -distances[3:9], atol=1e-10)


def test_the_callers_scores_stay_as_they_are():
    scores = np.random.default_rng(8).random((5, 5))
    before = scores.copy()
    ranks_within(scores, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(scores, before)


def test_no_queries_and_an_empty_gallery():
    nothing = rank_queries(lambda which: np.empty((0, 2)), [], ["a", "b"], [], [1, 2])
    assert len(nothing.average_precision) == 0
    alone = rank_queries(lambda which: np.empty((1, 0)), ["a"], [], [1], [])
    assert alone.unasked == 1
    assert np.isnan(alone.average_precision).all()
    assert chance_retrieval([], [], [], []).unasked == 0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        ranks_within([[1.0, np.nan], [1.0, 1.0]], [0, 0])
    with pytest.raises(ValueError, match="finite"):
        ranks_within([[1.0, 2.0], [1.0, -np.inf]], [0, 0])
    with pytest.raises(ValueError, match="shape"):
        ranks_within([[1.0, 2.0, 3.0], [1.0, 1.0, 3.0]], [0, 0])
    with pytest.raises(ValueError, match="repeat"):
        rank_queries(lambda which: np.ones((1, 2)), [0], [0, 1], [5], [5, 5])
    with pytest.raises(ValueError, match="one patient as a query"):
        rank_queries(lambda which: np.ones((1, 1)), [0], [1], [5], [5])
    with pytest.raises(ValueError, match="one patient and one identifier"):
        rank_queries(lambda which: np.ones((1, 1)), [0], [1], [5, 6], [5])
    with pytest.raises(ValueError, match="coincide"):
        rank_queries(lambda which: np.ones((1, 1)), [0.5], [1], [5], [5])
    with pytest.raises(ValueError, match="at least 1"):
        ranks_within(np.ones((2, 2)), [0, 0], block=0)
    with pytest.raises(ValueError, match="dimensions"):
        euclidean_scores(np.ones((1, 2)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="finite"):
        euclidean_scores(np.full((1, 2), np.nan), np.ones((1, 2)))
