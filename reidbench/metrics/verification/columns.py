"""Weighted ROC curves by the hundred, of few pairs: a row per pair and a column per curve.

The figures are those of :class:`reidbench.metrics.verification.curve.Curve` to the last bit, several times faster.
Putting pairs in order is a copy of whole rows, and running sums add whole rows, where a row per curve would visit every
number by itself. Weights are small whole numbers here and stay such, which takes a quarter of the memory.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.metrics.validation import Floats, Indices
from reidbench.metrics.verification.curve import Curve, Ranking

Counts = NDArray[np.uint16]
Sums = NDArray[np.int32]

#: Curves are made so many numbers at once: few enough for a core's own cache, enough for long rows.
NUMBERS_AT_ONCE = 2**20
#: With more pairs rows would be too short to be worth it.
MOST_PAIRS = 2**14
_LARGEST = 2**31 - 1


class Columns(Curve):
    """R weighted curves of one ranking.

    Args:
        ranking: the pairs in order.
        genuine: weights of the genuine pairs in the ranking's order, (n, R).
        impostor_sums: running sums of the impostor pairs' weights in the ranking's order, (m + 1, R), of
            :func:`running_sums`.
    """

    _pairs_axis = 0

    def __init__(self, ranking: Ranking, genuine: Counts, impostor_sums: Sums) -> None:
        self._ranking = ranking
        self._single = False
        self._genuine: Counts = genuine
        self._impostor_sums: NDArray[Any] = impostor_sums

    @cached_property
    def _genuine_sums(self) -> NDArray[Any]:
        return running_sums(self._genuine)

    @property
    def _impostor_total(self) -> NDArray[Any]:
        return self._impostor_sums[-1]

    @cached_property
    def _genuine_total(self) -> NDArray[Any]:
        return np.asarray(self._genuine_sums[-1])

    def _beaten_by(self) -> Floats:
        ranking, sums = self._ranking, self._impostor_sums
        beaten_by = sums.take(ranking.above, axis=0)
        if ranking.tied:
            beaten_by += sums.take(ranking.not_below, axis=0)
        # Twice the sum of all impostor weights times the largest genuine weight bounds every product.
        most = 2 * int(self._impostor_total.max(initial=0)) * int(self._genuine.max(initial=0))
        product = np.multiply(beaten_by, self._genuine, dtype=np.int32 if most <= _LARGEST else np.int64)
        total = product.sum(axis=0, dtype=np.int64)
        return (total if ranking.tied else 2 * total).astype(np.float64)

    def _shares(self, sums: NDArray[Any], places: Indices) -> Floats:
        with np.errstate(invalid="ignore"):
            shares: Floats = sums[places, np.arange(sums.shape[1])] / sums[-1]
        return shares

    def _most_within(self, budgets: Floats) -> Indices:
        sums, columns = self._impostor_sums, np.arange(len(budgets))
        # The first sum is 0 and no budget is less; one past the last is none.
        low, high = np.zeros(len(budgets), dtype=np.intp), np.full(len(budgets), len(sums), dtype=np.intp)
        while (high - low > 1).any():
            middle = (low + high) // 2
            within = sums[middle, columns] <= budgets
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        return low


def running_sums(weights: NDArray[Any]) -> Sums:
    """Sums of the first 0, 1, … rows of weights: (m, R) become (m + 1, R).

    Raises:
        OverflowError: a sum may pass 32 bits.
    """
    if len(weights) * int(weights.max(initial=0)) > _LARGEST:
        raise OverflowError("weights are too large for sums of 32 bits")
    sums = np.empty((len(weights) + 1, weights.shape[1]), dtype=np.int32)
    sums[0] = 0
    # np.cumsum along this axis goes through each column by itself, which takes ten times as long.
    for row, weight in enumerate(weights):
        np.add(sums[row], weight, out=sums[row + 1])
    return sums
