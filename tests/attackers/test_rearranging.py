"""Pixels that a key moved and inverted are put back without a known pair; nothing else is taken for that."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench.attackers.rearranging import put_back, rearranged
from reidbench.choosing import choose_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.plugins import Registry

SIZE = 32


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of the attacker's patients and of others."""
    dataset = choose_dataset(Registry(), "phantom:patients=200", None)
    cohort = load_cohort(dataset, size=SIZE, cache=tmp_path_factory.mktemp("cache"))
    known = cohort.frame["patient"].to_numpy() < 100
    return np.asarray(cohort.pixels)[known], np.asarray(cohort.pixels)[~known]


def keyed(images: np.ndarray, *, inverted: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    order = rng.permutation(SIZE * SIZE)
    flat = images.reshape(len(images), -1)[:, order]
    if inverted:
        flat = np.where(rng.random(SIZE * SIZE) < 0.5, 255 - flat, flat)
    return flat.reshape(images.shape).astype(np.uint8), order


@pytest.mark.parametrize("inverted", [False, True])
def test_moved_and_inverted_pixels_are_put_back_without_a_known_pair(images, inverted):
    own, others = images
    released, _ = keyed(others, inverted=inverted)
    assert rearranged(own, released)
    wanted = others.astype(int)
    left = np.abs(put_back(own, released) - wanted).mean()
    # The best that is possible without the images themselves.
    assert left < 0.4 * np.abs(np.median(own, axis=0) - wanted).mean()


def test_the_same_images_in_another_order_are_put_back_alike(images):
    own, others = images
    released, _ = keyed(others, inverted=True)
    twice = put_back(own, np.repeat(released, 2, axis=0))[::2]
    assert np.abs(twice - put_back(own, released).astype(int)).mean() < 2


def test_an_image_is_put_back_from_its_own_pixels(images):
    own, others = images
    released, _ = keyed(others, inverted=False)
    whole = put_back(own, released)
    assert whole.shape == released.shape
    # Each image is made of its own pixels alone, from wherever the statistics of all put them.
    for begin in (0, len(released) - 1):
        assert set(np.unique(whole[begin])) <= set(np.unique(released[begin])) | set(255 - np.unique(released[begin]))


def test_what_only_changes_values_is_not_taken_for_moved_pixels(images):
    own, others = images
    rng = np.random.default_rng(0)
    noisy = (others + rng.normal(0, 60, others.shape)).clip(0, 255).astype(np.uint8)
    for released in (others, noisy, others // 2, np.zeros_like(others), np.repeat(others[:1], 50, axis=0)):
        assert not rearranged(own, released)


def test_too_few_images_or_too_many_pixels_are_left_to_the_network(images):
    own, others = images
    released, _ = keyed(others, inverted=False)
    assert not rearranged(own, released[:20])
    large = np.zeros((60, 200, 200), np.uint8)
    assert not rearranged(large, large)
