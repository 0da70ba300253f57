"""Copies of known people among published images, as a generative model makes them that memorizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
#: Rows of distances that are held at a time.
BLOCK = 1024


class Nearness(NamedTuple):
    """How near images are to known people.

    Attributes:
        ratios: (S,) the distance to the nearest image of a known person, divided by that to the nearest image of
            somebody else; 0 for a copy, 1 where nobody is nearer, NaN where both distances are 0.
        nearest: (S,) the row of that known image.
    """

    ratios: NDArray[np.float64]
    nearest: NDArray[np.int64]


def nearness(images: Floats, known: Floats, others: Floats) -> Nearness:
    """Compares images with known people, and with others of whom nothing is known.

    A blurred image is near to everybody, but as near to the others as to the known people: ratios, unlike distances,
    tell only of those images that know something of the known people.

    Args:
        images: (S, D).
        known, others: (N, D) and (M, D), at least one of each; distances are Euclidean.
    """
    near, rows = _nearest(images, known)
    far, _ = _nearest(images, others)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Nearness(near / far, rows)


def _nearest(images: Floats, gallery: Floats) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    # About a centre, so that squares cancel less.
    centre = gallery.mean(axis=0, dtype=np.float64)
    found, gallery = np.empty(len(images), dtype=np.int64), gallery - centre
    norms = np.einsum("ij,ij->i", gallery, gallery)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK] - centre
        found[start : start + BLOCK] = (norms - 2 * (block @ gallery.T)).argmin(axis=1)
    # The distance itself from differences: that to a copy is 0.
    return np.linalg.norm(images - centre - gallery[found], axis=1), found
