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
        (self._query, self._gallery), _ = codes(query_patients, gallery_patients)
        (self._query_picture, self._gallery_picture), _ = codes(query_pictures, gallery_pictures)
        if len(self._query) != len(self._query_picture) or len(self._gallery) != len(self._gallery_picture):
            raise ValueError("every query and every gallery image needs one patient and one picture")
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
        start, steps = self._scale
        # In double precision, so that scores that differ by rounding alone are not brought together at random.
        step: Indices = np.clip((scores.astype(np.float64) - start) * steps, 0, STEPS - 1).astype(np.intp)
        same = self._query[rows, None] == self._gallery
        counted = np.bincount(step.ravel(), minlength=STEPS)
        mine, query, gallery = step[same], *np.nonzero(same)
        other = self._query_picture[rows][query] != self._gallery_picture[gallery]
        self._genuine += np.bincount(mine[other], minlength=STEPS)
        self._impostor += counted - np.bincount(mine, minlength=STEPS)

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
