"""How much more an attacker finds that holds several images of a patient, and searches several of one patient.

The same images of the same patients are known for every number m: of four known images each by itself (m = 1), in two
pairs (m = 2), or all (m = 4), so that figures differ by m alone. The known images, and what is published of them, are
in no gallery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.retrieval.expected_ranks import TieGroups, expected
from reidbench.metrics.validation import Floats, Indices, codes

#: Scores of Q queries, each of m known images (Q, m), against the gallery (Q, N), higher = more alike.
Pooled = Callable[[Indices], NDArray[np.floating[Any]]]
#: The same against G sets of m published images (G, m): (Q, G).
PooledSets = Callable[[Indices, Indices], NDArray[np.floating[Any]]]


@dataclass(frozen=True, eq=False)
class Shots:
    """Which images are known and which are searched, on the same patients for every number of images.

    Attributes:
        patients: (K,) the patients, each as often as it was drawn.
        known: (K, M) their known images; M is the most that are known.
        published: (K, M) other images of the same patient, for the search among sets; (K, 0) if that was not asked for.
    """

    patients: Indices
    known: Indices
    published: Indices


@dataclass(frozen=True, eq=False)
class Found:
    """What Q queries found: (Q,) their patients, and expectations over random order within ties, in [0, 1]."""

    patients: Indices
    average_precision: Floats
    precision_at_1: Floats


def draw_shots(
    patients: ArrayLike,
    *,
    most: int = 4,
    left: int = 2,
    sets: bool = False,
    seed: int = 0,
    patients_at_most: int | None = None,
) -> Shots:
    """Draws known images of every patient that has enough: ``most``, and ``left`` to find.

    Args:
        patients: (N,) each image's patient, whole numbers or text.
        most: the most images that are known of a patient.
        left: images that must be left in the gallery.
        sets: draw ``most`` published images too, all of which must be there.
        seed: of the draws, three of each patient.
        patients_at_most: if more patients have enough images, so many are drawn of them; None for all.

    Raises:
        ValueError: ``most`` or ``left`` is below 1.
    """
    if most < 1 or left < 1:
        raise ValueError(f"most and left must be at least 1, not {most} and {left}")
    (patient,), count = codes(patients)
    published = most if sets else 0
    drawn: list[Indices] = []
    owners: list[int] = []
    enough = np.flatnonzero(np.bincount(patient, minlength=count) >= most + max(left, published))
    if patients_at_most is not None and len(enough) > patients_at_most:
        enough = np.sort(np.random.default_rng(seed).choice(enough, patients_at_most, replace=False))
    for one in enough.tolist():
        images = np.flatnonzero(patient == one)
        rng = np.random.default_rng([seed, one])
        drawn += [rng.permutation(images)[: most + published] for _ in range(ROUNDS)]
        owners += [one] * ROUNDS
    rows = np.array(drawn, dtype=np.intp).reshape(len(drawn), most + published)
    return Shots(np.array(owners, dtype=np.intp), rows[:, :most], rows[:, most:])


#: Draws of each patient.
ROUNDS = 3


def search_images(scores: Pooled, patients: ArrayLike, shots: Shots, m: int) -> Found:
    """What sets of m known images find among single published images, those that are not known.

    Args:
        scores: see :data:`Pooled`.
        patients: (N,) each image's patient; row i of both sides shows one image.
        shots: from :func:`draw_shots`.
        m: how many images are known; a divisor of the most.

    Raises:
        ValueError: m does not divide the most that are known, or a score is not finite.
    """
    (patient,), _ = codes(patients)
    queries, owner = _groups(shots.known, m), np.repeat(np.arange(len(shots.known)), shots.known.shape[1] // m)
    above, not_below, lines, relevant = [], [], [], np.zeros(len(queries), dtype=np.intp)
    for begin in range(0, len(queries), QUERIES):
        part = slice(begin, begin + QUERIES)
        block = np.array(scores(queries[part]))
        if not np.isfinite(block).all():
            raise ValueError("scores are not all finite")
        for line, row in enumerate(block, start=begin):
            gone = shots.known[owner[line]]
            mine = np.setdiff1d(np.flatnonzero(patient == patient[gone[0]]), gone)
            ordered = np.sort(np.delete(row, gone))
            relevant[line] = len(mine)
            lines.append(np.full(len(mine), line))
            above.append(len(ordered) - np.searchsorted(ordered, row[mine], side="right"))
            not_below.append(len(ordered) - np.searchsorted(ordered, row[mine], side="left"))
    none = [np.empty(0, dtype=np.intp)]
    groups = TieGroups.of_relevant(*(np.concatenate(none + each) for each in (lines, above, not_below)))
    figures = expected(groups, relevant)
    return Found(shots.patients[owner], figures.average_precision, figures.precision_at_1)


def search_sets(scores: PooledSets, shots: Shots, m: int) -> Found:
    """What sets of m known images find among sets of m published images, one set of each patient.

    Args:
        scores: see :data:`PooledSets`.
        shots: from :func:`draw_shots` with ``sets``.
        m: how many images are in a set; a divisor of the most.

    Raises:
        ValueError: m does not divide the most that are known, or a score is not finite.
    """
    found = []
    known, published = (
        _groups(side, m).reshape(len(side), side.shape[1] // m, m) for side in (shots.known, shots.published)
    )
    # One gallery for each draw and each part of it: it holds every patient once.
    for draw in range(ROUNDS if len(shots.patients) else 0):
        for part in range(known.shape[1]):
            matrix = np.asarray(scores(known[draw::ROUNDS, part], published[draw::ROUNDS, part]))
            if not np.isfinite(matrix).all():
                raise ValueError("scores are not all finite")
            right = np.diag(matrix)[:, None]
            best, ties = (matrix > right).sum(axis=1) == 0, (matrix == right).sum(axis=1)
            found.append(best / ties)
    values = np.concatenate([np.empty(0), *found])
    owners = np.tile(shots.patients[::ROUNDS], len(found))
    return Found(owners.astype(np.intp), values, values)


#: Queries whose scores are held at once.
QUERIES = 64


def _groups(rows: Indices, m: int) -> Indices:
    if m < 1 or rows.shape[1] % m:
        raise ValueError(f"sets of {m} images do not divide {rows.shape[1]} known images")
    return rows.reshape(-1, m)
