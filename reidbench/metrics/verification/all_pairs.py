"""The AUC over all pairs of a matrix of scores, whose rows come block by block: the literature's estimand.

Exchanged pairs show every image equally often as genuine and as impostor, so that one image alone tells nothing, and a
cap keeps a few patients from deciding. Over all pairs neither holds: patients with many images have most of the genuine
pairs, and images that look like many others most of the high impostor scores. Both areas are right, of different
questions.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.validation import Indices, codes

#: Up to so many pairs are kept and put in order, about those of 4,096 images; of more, only counts are kept.
MOST_HELD = 2**24
#: Counts are kept of so many steps between the scores held until then, even ones where these spread over them, or else
#: between their quantiles. A score that is two quantiles has a step of its own; other pairs in one step count as tied.
STEPS = 2**16
#: Scores spread over even steps where two of them share one in at most this share of all draws.
MOST_TOGETHER = 2e-4
#: Where pairs that meet in a step leave an area more in doubt than this, it is not told.
MOST_DOUBT = 5e-4
# Scores that are counted at once, which stay in a core's own cache, and from which steps are made.
NUMBERS_AT_ONCE, SAMPLED = 2**18, 2**22


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
        self._held = _Held()
        self._counts: _Counts | None = None

    def add(self, rows: slice, scores: NDArray[np.floating[Any]]) -> None:
        """Counts the pairs of some queries.

        Args:
            rows: which queries; each once.
            scores: (B, G), higher = more alike, finite.
        """
        if not scores.size:
            return
        query, gallery = self._of_one_patient(rows)
        mine = scores[query, gallery]
        genuine = mine[self._query_picture[rows][query] != self._gallery_picture[gallery]]
        if self._counts is None and self._held.size + scores.size <= MOST_HELD:
            self._held.add(scores.flatten(), mine, genuine)
            return
        if self._counts is None:
            self._counts = _Counts([*self._held.everything, scores.ravel()])
            for held in self._held.parts:
                self._counts.add(*held)
            self._held = _Held()
        self._counts.add(scores.ravel(), mine, genuine)

    def _of_one_patient(self, rows: slice) -> tuple[Indices, Indices]:
        """Row within the block and gallery column of every pair of one patient's images."""
        patient = self._query[rows]
        counts = self._images[patient]
        query = np.repeat(np.arange(len(patient)), counts)
        within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        return query, self._by_patient[np.repeat(self._first[patient], counts) + within]

    def auc(self) -> float:
        """The area, a tie counting one half, in [0, 1].

        Exact for up to :data:`MOST_HELD` pairs, and beyond that to :data:`MOST_DOUBT`. NaN without a genuine or an
        impostor pair, and where scores crowd so much that more would be in doubt.
        """
        return self._held.auc() if self._counts is None else self._counts.auc()


class _Held:
    """Parts of the scores: all pairs, those of one patient's images, and the genuine ones among these."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.size = 0

    @property
    def everything(self) -> list[NDArray[Any]]:
        return [scores for scores, _, _ in self.parts]

    def add(self, scores: NDArray[Any], mine: NDArray[Any], genuine: NDArray[Any]) -> None:
        self.parts.append((scores, mine, genuine))
        self.size += scores.size

    def auc(self) -> float:
        if not self.parts:
            return float("nan")
        scores, mine, genuine = (np.sort(np.concatenate(each)) for each in zip(*self.parts))
        impostors = len(scores) - len(mine)
        if not len(genuine) or not impostors:
            return float("nan")
        # Impostor pairs are all but those of one patient.
        twice = sum(
            int(scores.searchsorted(genuine, side).sum()) - int(mine.searchsorted(genuine, side).sum())
            for side in _SIDES
        )
        return twice / (2 * len(genuine) * impostors)


_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


class _Even:
    """Even steps from a little below the lowest score to a little above the highest; the outer ones hold all beyond.

    Attributes:
        one_score: (S,) whether all scores in a step are equal.
    """

    def __init__(self, low: float, high: float) -> None:
        margin = (high - low) / 4 or 1.0
        self._low, self._per_unit = low - margin, STEPS / (high - low + 2 * margin)
        self.one_score = np.zeros(STEPS, dtype=np.bool_)

    def count(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        """How many scores lie in each step (S,)."""
        place = scores.astype(np.float64)
        place -= self._low
        place *= self._per_unit
        np.clip(place, 0, STEPS - 1, out=place)
        return np.bincount(place.astype(np.intp), minlength=STEPS)


class _Quantiles:
    """Steps from each quantile up to the next; the attribute and the method are those of even ones.

    They take ten times as long, and suit scores that crowd, or lie far from the others.
    """

    def __init__(self, ordered: NDArray[Any]) -> None:
        quantiles = ordered[np.linspace(0, len(ordered) - 1, STEPS).astype(np.intp)]
        twice = quantiles[1:][quantiles[1:] == quantiles[:-1]]
        self._edges = np.unique(np.concatenate([quantiles, np.nextafter(twice, twice.dtype.type(np.inf))]))
        alone = np.nextafter(self._edges[:-1], self._edges.dtype.type(np.inf)) == self._edges[1:]
        self.one_score = np.concatenate([[False], alone, [False]])

    def count(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        places = np.sort(scores).searchsorted(self._edges)
        return np.diff(places, prepend=0, append=len(scores))


class _Counts:
    """How many pairs lie in each step: impostors, and genuine ones.

    Args:
        parts: scores that show which steps suit.
    """

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        every = max(1, sum(map(len, parts)) // SAMPLED)
        sample = np.sort(np.concatenate([part[::every] for part in parts]))
        even = _Even(float(sample[0]), float(sample[-1]))
        share = even.count(sample) / len(sample)
        self._steps = even if float((share**2).sum()) <= MOST_TOGETHER else _Quantiles(sample)
        self._genuine, self._impostor = np.zeros((2, len(self._steps.one_score)), dtype=np.int64)

    def add(self, scores: NDArray[Any], mine: NDArray[Any], genuine: NDArray[Any]) -> None:
        self._genuine += self._steps.count(genuine)
        self._impostor -= self._steps.count(mine)
        for start in range(0, len(scores), NUMBERS_AT_ONCE):
            self._impostor += self._steps.count(scores[start : start + NUMBERS_AT_ONCE])

    def auc(self) -> float:
        # Whole numbers up to 10^20 need Python's own.
        genuine, impostor = self._genuine.tolist(), self._impostor.tolist()
        all_pairs = 2 * sum(genuine) * sum(impostor)
        if not all_pairs:
            return float("nan")
        twice, below, doubt = 0, 0, 0
        for g, i, one_score in zip(genuine, impostor, self._steps.one_score):
            twice += g * (2 * below + i)
            below += i
            doubt += 0 if one_score else g * i
        return twice / all_pairs if doubt <= MOST_DOUBT * all_pairs else float("nan")
