"""Copies of training patients among published images, as a generative model that memorizes makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
#: Rows of distances that are held at a time.
BLOCK = 1024
#: Relative difference of squared distances that is rounding.
ROUNDING = 1e-9


def copy_shares(published: Floats, known: Floats, patients: NDArray[np.int64], others: Floats) -> NDArray[np.float64]:
    """For each known patient, the share of the published images that copy them.

    A published image copies a patient if it is nearer to one of the patient's known images than the nearest image of
    other people is to any of them (Euclidean distance). Of images that know nothing of the patient, each does so with a
    probability of 1 in 1 + the number of those other images, if they are distributed alike.

    Args:
        published: (S, D), at least one.
        known: (N, D) images of the known patients, at least one.
        patients: (N,) whose these are.
        others: (M, D) images of people who are none of these, at least one.

    Returns:
        (P,) in ascending order of the patients' numbers, each in [0, 1].
    """
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.diff(patients[order], prepend=patients[order[0]] - 1))
    centre = known.mean(axis=0, dtype=np.float64)
    made, rows, strangers = (array - centre for array in (published, known[order], others))
    shares = []
    # Blocks of whole patients, each of whom begins in it.
    for firsts in np.split(starts, np.flatnonzero(np.diff(starts // BLOCK)) + 1):
        end = starts[starts > firsts[-1]].min(initial=len(rows))
        block, within = rows[firsts[0] : end], firsts - firsts[0]
        bound = np.minimum.reduceat(_squared(block, strangers), within, axis=0).min(axis=1)
        nearest = np.minimum.reduceat(_squared(block, made), within, axis=0)
        shares.append((nearest < bound[:, None] * (1 - ROUNDING)).mean(axis=1))
    return np.concatenate(shares)


def _squared(one: Floats, other: Floats) -> Floats:
    norms = np.einsum("ij,ij->i", one, one)[:, None] + np.einsum("ij,ij->i", other, other)
    squared: Floats = np.maximum(norms - 2 * (one @ other.T), 0)
    return squared
