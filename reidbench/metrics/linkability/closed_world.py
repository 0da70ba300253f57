"""Linkage in a closed world: both sides are known to hold the same patients, so that links are one to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from reidbench.metrics.validation import Floats, Indices, codes

#: Patients that are assigned at once: the time grows with their cube.
MOST_PATIENTS = 2000


@dataclass(frozen=True, eq=False)
class ClosedWorld:
    """What a one-to-one assignment links rightly.

    Attributes:
        patients: (Q,) the patients of the known images, each as often as it was drawn.
        correct: (Q,) the probability that its link is right, in [0, 1]: equal columns may be exchanged.
        chance: (Q,) what a random assignment gets: one over the patients that were assigned together.
    """

    patients: Indices
    correct: Floats
    chance: Floats


def closed_world(
    scores: Callable[[Indices, Indices], NDArray[np.floating[Any]]],
    patients: ArrayLike,
    *,
    draws: int = 5,
    seed: int = 0,
    most: int = MOST_PATIENTS,
) -> ClosedWorld:
    """Links one known image of each patient with one published image of each, by the assignment of the highest sum.

    The two images of a patient are different ones. More than ``most`` patients are assigned in parts of equal size.

    Args:
        scores: of known images (K,) against published images (K,), (K, K), finite, higher = more alike.
        patients: (N,) each image's patient; those with a single image are left out.
        draws: how often images are drawn; known and published images are exchanged with each.
        seed: of the draws.
        most: patients that are assigned at once.

    Raises:
        ValueError: a score is not finite.
    """
    (patient,), count = codes(patients)
    images = [rows for rows in (np.flatnonzero(patient == one) for one in range(count)) if len(rows) > 1]
    found: list[tuple[Indices, Floats, Floats]] = []
    for draw in range(draws if images else 0):
        rng = np.random.default_rng([seed, draw])
        pairs = np.array([rng.permutation(rows)[:2] for rows in images], dtype=np.intp)
        # No order of patients is the same on both sides: of equal sums, the assignment takes one by their order.
        dealt = rng.permutation(len(pairs))
        for part in np.array_split(dealt, -(-len(pairs) // most)):
            columns = rng.permutation(part)
            matrix = np.asarray(scores(pairs[part, 0], pairs[columns, 1]), dtype=np.float64)
            if not np.isfinite(matrix).all():
                raise ValueError("scores are not all finite")
            correct = _assigned(matrix, part, columns)
            found.append((patient[pairs[part, 0]], correct, np.full(len(part), 1.0 / len(part))))
    if not found:
        return ClosedWorld(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0))
    owners, values, chances = (np.concatenate(each) for each in zip(*found))
    return ClosedWorld(owners, values, chances)


def _assigned(matrix: Floats, rows: Indices, columns: Indices) -> Floats:
    """Whether each row is assigned its own column; a share where equal columns may be exchanged."""
    assigned = np.empty(len(rows), dtype=np.intp)
    line, column = linear_sum_assignment(matrix, maximize=True)
    assigned[line] = column
    twins = np.unique(matrix, axis=1, return_inverse=True)[1].ravel()
    own = np.argsort(columns, kind="stable")[np.searchsorted(np.sort(columns), rows)]
    return (twins[assigned] == twins[own]) / np.bincount(twins)[twins[own]]
