"""Copies of known people among images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from reidbench.metrics import copies, nearness


def grey(*levels: float) -> np.ndarray:
    return np.array(levels)[:, None].repeat(16, 1)


def test_ratios_of_grey_images_are_those_of_their_levels() -> None:
    found = nearness(grey(100, 120, 200, 70), grey(10, 100, 210), grey(80, 200))
    np.testing.assert_allclose(found.ratios, [0, 20 / 40, np.inf, 30 / 10])
    np.testing.assert_array_equal(found.nearest, [1, 1, 2, 1])
    assert np.isnan(nearness(grey(7), grey(7), grey(7)).ratios).all(), "a picture on both sides tells nothing"


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_any_block_gives_what_all_distances_give(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "BLOCK", block)
    rng = np.random.default_rng(1)
    made, known, others = (rng.normal(size=(count, 5)).astype(np.float32) + 100 for count in (40, 60, 6))
    near, far = pairwise_distances(made, known), pairwise_distances(made, others)
    found = nearness(made, known, others)
    np.testing.assert_allclose(found.ratios, near.min(axis=1) / far.min(axis=1), rtol=1e-3)
    np.testing.assert_array_equal(found.nearest, near.argmin(axis=1))


def test_a_blurred_image_is_no_nearer_to_known_people() -> None:
    """Shrunk towards the centre, images come nearer to everybody: distances fall, ratios do not."""
    rng = np.random.default_rng(2)
    known, others, plain = (rng.normal(size=(count, 30)) for count in (300, 300, 400))
    sharp, blurred = nearness(plain, known, others), nearness(0.2 * plain, known, others)
    assert np.median(blurred.ratios) == pytest.approx(1, abs=0.1)
    assert (blurred.ratios < np.quantile(sharp.ratios, 0.05)).mean() < 0.05
    mixed = nearness(0.2 * plain + 0.8 * known[:1], known, others)
    assert (mixed.ratios < np.quantile(sharp.ratios, 0.05)).mean() > 0.9, "mostly an image of one person"
