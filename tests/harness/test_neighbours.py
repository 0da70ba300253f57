"""Revised scores against the same written out probe by probe, with sets, on a gallery without the probe's image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from reidbench.harness.scores.neighbours import Expansion, Limits, Reciprocal, Revised

SCALE = (-1.5, 0.4)
LIMITS = [Limits(), Limits(-2.3, -2.1)]


@dataclass
class Vectors:
    """Scores by minus the Euclidean distance, from differences, so that equal vectors tie."""

    held: np.ndarray
    gallery: np.ndarray

    @property
    def images(self):
        return len(self.gallery)

    def block(self, rows):
        return self._scores(self.held[rows])

    def among(self, rows):
        return self._scores(self.gallery[rows])

    def twins(self):
        return np.unique(self.gallery, axis=0, return_inverse=True)[1].ravel()

    def _scores(self, vectors):
        return -np.sqrt(((vectors[:, None] - self.gallery[None]) ** 2).sum(axis=2)).astype(np.float32)


def make(images, seed, *, same=False, values=None):
    """Random vectors, three images a patient; of few whole ``values`` for many ties."""
    rng = np.random.default_rng(seed)
    if values is not None:
        gallery = rng.integers(0, values, (images, 3)).astype(np.float64)
        held = gallery if same else rng.integers(0, values, (images, 3)).astype(np.float64)
        return Vectors(held, gallery)
    centres = np.repeat(rng.normal(size=(images // 3 + 1, 6)), 3, axis=0)[:images]
    held, gallery = (centres + 0.7 * rng.normal(size=(images, 6)) for _ in range(2))
    return Vectors(gallery if same else held, gallery)


def surely_nearest(scores, length, limit):
    """The best of these scores by name, without those that a tie at the list's end makes a matter of order."""
    ordered = sorted(scores.values(), reverse=True)
    end = max(ordered[length], limit) if len(ordered) > length else limit
    return {name for name, score in scores.items() if score > end}


def by_hand(vectors, method, limits, probe):
    """All images' scores for one probe, from a gallery that never held its own image."""
    others = [image for image in range(vectors.images) if image != probe]
    held = dict(enumerate(vectors.block(slice(probe, probe + 1))[0].tolist()))
    table = vectors.among(np.arange(vectors.images)).tolist()
    found = {image: held[image] for image in others}
    between = {a: {b: table[a][b] for b in others if b != a} for a in others}
    if isinstance(method, Expansion):
        asked = surely_nearest(found, method.query, limits.held)
        query = {b: (held[b] + sum(table[a][b] for a in asked)) / (1 + len(asked)) for b in others}
        means = {}
        for image in others:
            near = [image, *surely_nearest(between[image], method.database, limits.published)]
            means[image] = sum(query[b] for b in near) / len(near)
        return means
    lists = {image: surely_nearest(between[image], method.near, limits.published) for image in others}
    sets = {image: {b for b in lists[image] if image in lists[b]} | {image} for image in others}

    def holds(image):
        # Whether the probe would be among the first of the image's list.
        better = sum(score >= found[image] for score in between[image].values())
        return found[image] > limits.published and better < method.near

    mine = {image for image in surely_nearest(found, method.near, limits.held) if holds(image)}
    for image in mine:
        sets[image] = sets[image] | {"probe"}

    def described(first, near):
        each = [first, *(sets[b] for b in near)]
        names = set().union(*each)
        return {name: sum(name in one for one in each) / len(each) for name in names}

    query = described(mine | {"probe"}, surely_nearest(found, method.expand, limits.held))
    centre, weight = SCALE
    revised = {}
    for image in others:
        description = described(sets[image], surely_nearest(between[image], method.expand, limits.published))
        names = query.keys() | description.keys()
        both = sum(query.get(n, 0) * description.get(n, 0) for n in names)
        either = sum(query.get(n, 0) + description.get(n, 0) for n in names) - both
        revised[image] = both / either + method.weight * (held[image] - centre) * weight
    return revised


METHODS = [
    Reciprocal(near=5, expand=2, weight=0.1, impostors=0.1),
    Reciprocal(near=3, expand=4, weight=0.0, impostors=0.1),
    Reciprocal(near=50, expand=1, weight=0.3, impostors=0.1),
    Expansion(database=3, query=2, impostors=0.1),
    Expansion(database=1, query=0, impostors=0.1),
    Expansion(database=60, query=60, impostors=0.1),
]


@pytest.mark.parametrize("limits", LIMITS, ids=["all", "above"])
@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("ties", [None, 4, 2])
@pytest.mark.parametrize("same", [False, True])
def test_scores_are_those_of_a_gallery_that_never_held_the_probes_image(method, limits, ties, same):
    for seed in range(2):
        vectors = make(31, seed, same=same, values=ties)
        revised = Revised(vectors, method, limits, SCALE).block(slice(None))
        for probe in range(vectors.images):
            expected = by_hand(vectors, method, limits, probe)
            mine = [revised[probe, image] for image in expected]
            np.testing.assert_allclose(mine, list(expected.values()), rtol=1e-5, atol=1e-6, err_msg=f"{seed} {probe}")


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_what_is_published_of_the_probe_changes_nothing_for_it(method):
    vectors = make(24, 5)
    before = Revised(vectors, method, Limits(), SCALE).block(slice(7, 8))
    other = vectors.gallery.copy()
    # The release of the image that is held would lead straight to the patient's others.
    other[7] = vectors.held[7]
    after = Revised(Vectors(vectors.held, other), method, Limits(), SCALE).block(slice(7, 8))
    others = np.arange(24) != 7
    np.testing.assert_allclose(after[0, others], before[0, others], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("same", [False, True])
def test_equal_images_are_tied_to_the_bit_and_a_constant_gallery_is_chance(method, same):
    vectors = make(40, 2, same=same, values=2)
    revised = Revised(vectors, method, Limits(), SCALE).block(slice(None))
    twins = vectors.twins()
    for probe in range(40):
        for group in range(twins.max() + 1):
            there = np.flatnonzero((twins == group) & (np.arange(40) != probe))
            assert np.ptp(revised[probe, there], axis=None) == 0 if len(there) else True
    constant = np.zeros((30, 4))
    held = constant if same else np.random.default_rng(0).normal(size=(30, 4))
    revised = Revised(Vectors(held, constant), method, Limits(), SCALE).block(slice(None))
    assert all(len(set(np.delete(row, probe).tolist())) == 1 for probe, row in enumerate(revised))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_blocks_are_rows_of_the_whole(method, monkeypatch):
    vectors = make(33, 4, values=5)
    whole = Revised(vectors, method, Limits(), SCALE).block(slice(None))
    monkeypatch.setattr("reidbench.harness.scores.neighbours.BLOCK_SCORES", 33 * 4 * 5)
    parts = Revised(vectors, method, Limits(), SCALE)
    np.testing.assert_allclose(np.concatenate([parts.block(slice(0, 20)), parts.block(slice(20, 33))]), whole)
    assert parts.block(slice(5, 5)).shape == (0, 33)


def test_neighbours_find_what_no_score_of_two_images_tells():
    """A chain: the probe is near one image of its patient only, and that one near the others."""
    gallery = np.array([[0.0], [1.0], [2.0], [3.0], [-1.9], [-40.0], [-60.0]])
    vectors = Vectors(gallery, gallery)
    plain = vectors.block(slice(0, 1))[0]
    revised = Revised(vectors, Expansion(0, 2, 0.1), Limits(-1.5, -1.5), SCALE).block(slice(0, 1))[0]
    assert plain[4] > plain[2]
    assert revised[2] > revised[4]
