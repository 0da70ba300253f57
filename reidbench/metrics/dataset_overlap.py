"""Pairs of patients from scores of their images, and how many pairs of two different patients reach a score.

The score of a patient pair is that of its best image pair: a maximum over as many comparisons as the two have image
pairs, and the best candidate is a maximum over all patient pairs. A false positive rate of single image pairs says
nothing about it. So the same maximum is taken over pairs that are known to be of two patients, and what is stated for a
candidate counts all the others that were compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.retrieval.ranking import BLOCK_SCORES, ScoreBlock
from reidbench.metrics.validation import Floats, Indices, score_vector


def patient_pair_maxima(
    score_block: ScoreBlock, left: ArrayLike, right: ArrayLike, block: int | None = None
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """The highest score of any two images for each pair of patients, some left patients at a time.

    Args:
        score_block: given a slice of the left images, their finite scores against all right images (B, M).
        left: (N,) patients of the left images as 0..P-1, in rising order.
        right: (M,) patients of the right images as 0..Q-1, in rising order.
        block: left images at a time, but whole patients; by default as many as make four million scores.

    Yields:
        The first left patient of a block, and the maxima of it and those after it, (p, Q).

    Raises:
        ValueError: patients are out of order, or scores have a wrong shape or are not finite.
    """
    first_left, first_right = _first_images(left, "left"), _first_images(right, "right")
    images = len(np.asarray(right))
    at_once = max(1, BLOCK_SCORES // max(1, images)) if block is None else block
    ends = np.append(first_left[1:], len(np.asarray(left)))
    patient = 0
    while patient < len(first_left):
        start = int(first_left[patient])
        # As many whole patients as fit, and one at least.
        stop_patient = max(patient + 1, int(np.searchsorted(ends, start + at_once, side="right")))
        stop = int(ends[stop_patient - 1])
        scores = np.asarray(score_block(slice(start, stop)))
        if scores.shape != (stop - start, images):
            raise ValueError(f"score_block gave shape {scores.shape}, expected {(stop - start, images)}")
        if not np.isfinite(scores).all():
            raise ValueError(f"scores of images {start}..{stop - 1} are not all finite")
        by_image = np.maximum.reduceat(scores, first_right, axis=1)
        yield patient, np.maximum.reduceat(by_image, first_left[patient:stop_patient] - start, axis=0)
        patient = stop_patient


def _first_images(patients: ArrayLike, side: str) -> Indices:
    codes = np.asarray(patients)
    steps = np.diff(codes, prepend=-1)
    if not np.isin(steps, (0, 1)).all() or (len(codes) and codes[0] != 0):
        raise ValueError(f"{side} patients must be 0, 1, 2 … in rising order, image after image")
    return np.flatnonzero(steps)


@dataclass(frozen=True, eq=False)
class FalseMatches:
    """How many of the pairs that are searched would reach a score if all of them were of two different patients.

    Attributes:
        scores: of the known impostor pairs, highest first (N,).
        counted: running sum of what each stands for, from 0 on (N + 1,).
        unseen: what the next impostor pair, not yet seen, would stand for.
        candidates: pairs that are searched, M.
    """

    scores: Floats
    counted: Floats
    unseen: float
    candidates: int

    @classmethod
    def calibrate(cls, scores: ArrayLike, kinds: ArrayLike, candidates: ArrayLike) -> FalseMatches:
        """Weighs known impostor pairs so that each kind of pair comes as often as among the pairs that are searched.

        Args:
            scores: (N,) of pairs of two different patients.
            kinds: (N,) 0..K-1, such as how many images the two have: more images, more chances.
            candidates: (K,) how many pairs of each kind are searched.

        Raises:
            ValueError: a kind that is searched has no impostor pair.
        """
        values, kind, searched = score_vector(scores), np.asarray(kinds), np.asarray(candidates)
        known = np.bincount(kind, minlength=len(searched))
        if ((known == 0) & (searched > 0)).any():
            raise ValueError("no impostor pair is known of a kind that is searched")
        # One more than seen, as in every permutation test: no score is out of reach of chance.
        weight = searched / (known + 1)
        order = np.argsort(-values, kind="stable")
        counted = np.append(0.0, np.cumsum(weight[kind[order]]))
        return cls(values[order], counted, float(weight.max(initial=0.0)), int(searched.sum()))

    def expected(self, scores: ArrayLike) -> Floats:
        """How many pairs of two different patients are expected to score at least as much, for each of (C,) scores."""
        reached = np.searchsorted(-self.scores, -np.asarray(scores, dtype=np.float64), side="right")
        return np.minimum(self.counted[reached] + self.unseen, self.candidates)


def q_values(expected: ArrayLike) -> Floats:
    """The share of false ones to be expected among the candidates up to each, (C,), the best candidate first.

    Benjamini and Hochberg (1995): expected false ones over rank, and the smallest over all longer lists, since a
    candidate may be taken with those below it. As if no pair searched were genuine, which errs on the safe side.

    Args:
        expected: (C,) false ones expected up to each candidate, rising.
    """
    values = np.asarray(expected, dtype=np.float64)
    shares = values / np.arange(1, len(values) + 1)
    return np.minimum(np.minimum.accumulate(shares[::-1])[::-1], 1.0)
