"""Revised scores of attackers: chosen on validation images alone, and the attackers' own where nothing is better."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.reranking import METHODS, Reranked, together
from reidbench.harness.scores.sources import Gallery


def distances(a, b):
    return -np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)).astype(np.float32)


class Embedded:
    """An attacker with vectors: each patient's images lie along a line, so that only the next ones are near."""

    name, training, restoration, post_processing = "embedded", None, None, None

    def __init__(self, seed, images, spread=0.3):
        rng = np.random.default_rng(seed)
        self.patients = np.repeat(np.arange(12), images)
        steps = np.arange(images)[None, :, None] * rng.normal(size=(12, 1, 8)) * 0.4
        vectors = (rng.normal(size=(12, 1, 8)) * 1.5 + steps + spread * rng.normal(size=(12, images, 8))).reshape(-1, 8)
        self.vectors = vectors.astype(np.float32)
        a, b = np.triu_indices(len(vectors), 1)
        self.pairs = Pairs(a=a, b=b, same=self.patients[a] == self.patients[b], notes=())
        self.test = Gallery(self.vectors[::-1].copy(), self.vectors[::-1].copy(), distances)

    @property
    def validation(self):
        return distances(self.vectors, self.vectors)[self.pairs.a, self.pairs.b], self.pairs.same

    @property
    def galleries(self):
        return self.test, Gallery(self.vectors, self.vectors, distances)

    def scores(self, pairs):
        return self.test.block(slice(None))[pairs.a, pairs.b]

    def block(self, rows):
        return self.test.block(rows)

    def probability(self, scores):
        return np.full_like(scores, 0.75)


def average_precision_at_r(matrix, patients):
    """Musgrave's MAP@R, by sorting; of scores without ties."""
    found = []
    for probe, row in enumerate(matrix):
        order = [image for image in np.argsort(-row) if image != probe]
        relevant = [patients[image] == patients[probe] for image in order]
        total = sum(relevant)
        found.append(sum(np.mean(relevant[: r + 1]) for r in range(total) if relevant[r]) / total)
    return np.mean(found)


def test_validation_patients_choose_the_way_and_whether_there_is_any():
    chosen = set()
    for images in (2, 6, 14):
        base = Embedded(3, images)
        revised = Reranked.of([base], base.patients, base.pairs)
        said = revised.post_processing
        chosen.add(said.method)
        assert (said.base, said.map_at_r >= said.map_at_r_off) == ("embedded", True)
        plain = base.galleries[1].block(slice(None))
        assert said.map_at_r_off == pytest.approx(average_precision_at_r(plain, base.patients))
        if said.method == "off":
            assert (revised.scores(base.pairs) == base.scores(base.pairs)).all()
            assert (revised.block(slice(2, 4)) == base.block(slice(2, 4))).all()
            assert (revised.probability(plain) == 0.75).all(), "nothing of the attacker is lost"
            continue
        # The test images are the validation images here, in another order: what was promised is found.
        matrix = revised.block(slice(None))
        assert said.map_at_r == pytest.approx(average_precision_at_r(matrix, base.patients[::-1]))
        assert (revised.scores(base.pairs) == matrix[base.pairs.a, base.pairs.b]).all()
        last = len(base.patients) - 1
        mirrored = matrix[last - base.pairs.a, last - base.pairs.b]
        np.testing.assert_allclose(revised.validation[0], mirrored, rtol=1e-4, atol=1e-5)
        assert np.isnan(revised.probability(matrix)).all()
    assert len(chosen) > 1, "patients of few images choose otherwise"


def test_no_test_image_has_a_say_in_the_choice():
    base, other = Embedded(3, 6), Embedded(3, 6)
    other.test = Embedded(8, 6, spread=2.0).test
    mine, theirs = (Reranked.of([one], one.patients, one.pairs).post_processing for one in (base, other))
    assert mine == theirs


def test_scores_that_are_too_many_to_keep_are_computed_again(monkeypatch):
    base = Embedded(3, 6)
    kept = Reranked.of([base], base.patients, base.pairs)
    assert kept.post_processing.method != "off"
    monkeypatch.setattr("reidbench.harness.scores.reranking.KEPT_SCORES", len(base.patients) ** 2 - 1)
    monkeypatch.setattr("reidbench.harness.scores.reranking.BLOCK_SCORES", len(base.patients) * 7)
    again = Reranked.of([base], base.patients, base.pairs)
    np.testing.assert_allclose(again.scores(base.pairs), kept.scores(base.pairs), rtol=1e-5)
    np.testing.assert_allclose(again.block(slice(3, 9)), kept.block(slice(3, 9)), rtol=1e-5)


class Joint(Embedded):
    """An attacker that scores pairs jointly: it has no vectors to search."""

    galleries = None


def test_fused_attackers_are_revised_together_and_joint_ones_are_left_out():
    one, two = Embedded(3, 6), Embedded(4, 6)
    two.patients, two.pairs = one.patients, one.pairs
    fused, revised = together([one, two], one.patients, one.pairs)
    assert (fused.name, revised.name, revised.post_processing.base) == ("fusion", "reranking", "fusion")
    assert fused.galleries[0].twins().tolist() == list(range(len(one.patients)))
    rows = np.array([4, 1])
    np.testing.assert_array_equal(fused.galleries[0].among(rows), fused.block(slice(None))[rows])
    joint = Joint(4, 6)
    (_, revised) = together([one, joint], one.patients, one.pairs)
    assert revised.post_processing.base == "embedded"
    assert together([joint], one.patients, one.pairs) == []
    assert together([one], one.patients, None) == []
    assert len(METHODS) == len(set(METHODS))


def test_copies_of_a_probe_do_not_help_it():
    """Each patient's first image stands in the gallery twice: revised scores are those without the second."""
    base = Embedded(3, 6)
    doubled = Embedded(3, 6)
    first = np.flatnonzero(np.r_[True, base.patients[1:] != base.patients[:-1]])
    order = np.r_[np.arange(len(base.patients)), first]
    vectors = base.vectors[order]
    doubled.test = Gallery(vectors, vectors, distances)
    pictures = order.astype(np.int64)
    known = Reranked.of([base], base.patients, base.pairs).post_processing.method
    assert known != "off"
    revised = Reranked.of([doubled], base.patients, base.pairs, (pictures, None))
    matrix = revised.block(slice(None))
    # No copy is anybody's neighbour, so that what is published of a copy changes no other image's scores.
    moved = vectors.copy()
    copies = np.r_[first, np.arange(len(base.patients), len(order))]
    moved[copies] += np.float32(0.5)
    doubled.test = Gallery(vectors, moved, distances)
    again = Reranked.of([doubled], base.patients, base.pairs, (pictures, None)).block(slice(None))
    others = np.setdiff1d(np.arange(len(order)), copies)
    np.testing.assert_allclose(again[:, others], matrix[:, others], rtol=1e-4, atol=1e-5)
    assert np.abs(again[:, copies] - matrix[:, copies]).max() > 0.01
    # Without the numbers they are neighbours as all others.
    freely = Reranked.of([doubled], base.patients, base.pairs).block(slice(None))
    assert np.abs(freely[:, others] - again[:, others]).max() > 0.01
