"""The AUC over all pairs of a matrix of scores, whose rows come block by block: the literature's estimand.

Exchanged pairs show every image equally often as genuine and as impostor, so that one image alone tells nothing, and a
cap keeps a few patients from deciding. Over all pairs neither holds: patients with many images have most of the genuine
pairs, and images that look like many others most of the high impostor scores. Both areas are right, of different
questions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.validation import Indices, codes

# Scores that are brought to their steps at once.
NUMBERS_AT_ONCE = 2**18
#: Scores are counted in so many steps between a little below the lowest and a little above the highest of the first
#: block. Pairs in one step count as tied, which moves an area by less than the share of pairs that meet in a step.
STEPS = 2**16


class AllPairs:
    """Counts genuine and impostor pairs by score while blocks of a matrix go by.

    An image is paired with neither itself nor copies of it.

    Args:
        query_patients: (Q,) whole numbers or text.
        gallery_patients: (G,).
        query_pictures, gallery_pictures: (Q,), (G,) equal where two images of one patient are one picture, as an image
            is of itself; whole numbers or text.

    Raises:
        ValueError: lengths differ.
    """

    def __init__(
        self,
        query_patients: ArrayLike,
        gallery_patients: ArrayLike,
        query_pictures: ArrayLike,
        gallery_pictures: ArrayLike,
    ) -> None:
        (self._query, gallery), patients = codes(query_patients, gallery_patients)
        (self._query_picture, self._gallery_picture), _ = codes(query_pictures, gallery_pictures)
        if len(self._query) != len(self._query_picture) or len(gallery) != len(self._gallery_picture):
            raise ValueError("every query and every gallery image needs one patient and one picture")
        self._by_patient = np.argsort(gallery, kind="stable")
        self._images = np.bincount(gallery, minlength=patients)
        self._first = np.cumsum(self._images) - self._images
        self._genuine = np.zeros(STEPS, dtype=np.int64)
        self._impostor = np.zeros(STEPS, dtype=np.int64)
        self._scale: tuple[float, float] | None = None

    def add(self, rows: slice, scores: NDArray[np.floating[Any]]) -> None:
        """Counts the pairs of some queries.

        Args:
            rows: which queries; each once.
            scores: (B, G), higher = more alike, finite.
        """
        if not scores.size:
            return
        if self._scale is None:
            low, high = float(scores.min()), float(scores.max())
            margin = (high - low) / 4 or 1.0
            self._scale = low - margin, STEPS / (high - low + 2 * margin)
        query, gallery = self._of_one_patient(rows)
        mine = self._steps(scores[query, gallery])
        other = self._query_picture[rows][query] != self._gallery_picture[gallery]
        self._genuine += np.bincount(mine[other], minlength=STEPS)
        self._impostor -= np.bincount(mine, minlength=STEPS)
        # Few rows at once stay in a core's own cache.
        at_once = max(1, NUMBERS_AT_ONCE // scores.shape[1])
        for start in range(0, len(scores), at_once):
            some = self._steps(scores[start : start + at_once].ravel())
            self._impostor += np.bincount(some, minlength=STEPS)

    def _steps(self, scores: NDArray[np.floating[Any]]) -> Indices:
        """The step of each score."""
        assert self._scale is not None
        low, steps = self._scale
        place = scores.astype(np.float64)
        place -= low
        place *= steps
        np.clip(place, 0, STEPS - 1, out=place)
        return place.astype(np.intp)

    def _of_one_patient(self, rows: slice) -> tuple[Indices, Indices]:
        """Row within the block and gallery column of every pair of one patient's images."""
        patient = self._query[rows]
        counts = self._images[patient]
        query = np.repeat(np.arange(len(patient)), counts)
        within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        return query, self._by_patient[np.repeat(self._first[patient], counts) + within]

    def auc(self) -> float:
        """The area, a tie counting one half, in [0, 1]; NaN without a genuine or an impostor pair."""
        genuine, impostor = int(self._genuine.sum()), int(self._impostor.sum())
        if not genuine or not impostor:
            return float("nan")
        below = np.cumsum(self._impostor) - self._impostor
        # Whole numbers up to 10^20 need Python's own.
        twice = sum(
            g * (2 * b + i) for g, b, i in zip(self._genuine.tolist(), below.tolist(), self._impostor.tolist()) if g
        )
        return twice / (2 * genuine * impostor)
