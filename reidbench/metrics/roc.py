"""The ROC curve of scored pairs, each of which may count any number of times.

Scores are put in order once (`Ranking`); every set of weights then gives a `Curve` in time proportional to the number
of pairs, without sorting again. The bootstrap leans on that: a resample of pairs or patients is a set of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.arrays import Floats, Indices, scored_pairs

Weights = NDArray[np.floating[Any] | np.integer[Any]]

# A false positive budget is a share times a whole number of pairs; this absorbs the rounding of that product alone.
ROUNDING = 1 + 1e-12


@dataclass(frozen=True, eq=False)
class Ranking:
    """Pairs in order of falling score, G distinct scores, n genuine pairs (one patient), m impostor pairs (two).

    Attributes:
        thresholds: the distinct scores, falling (G,).
        genuine: positions of the genuine pairs in the input, highest score first (n,).
        impostor: the same for impostor pairs (m,).
        genuine_within: how many genuine pairs score at least each threshold (G,).
        impostor_within: how many impostor pairs do (G,).
        above: how many impostor pairs score higher than each genuine pair (n,).
        not_below: how many score higher or the same (n,).
        tied: whether any genuine pair scores the same as an impostor pair.
    """

    thresholds: Floats
    genuine: Indices
    impostor: Indices
    genuine_within: Indices
    impostor_within: Indices
    above: Indices
    not_below: Indices
    tied: bool

    @classmethod
    def of(cls, scores: ArrayLike, same: ArrayLike) -> Ranking:
        """Puts scored pairs in order.

        Args:
            scores: (P,), higher = more alike.
            same: (P,) booleans, whether the pair is of one patient.

        Raises:
            ValueError: shapes differ or a score is NaN.
        """
        values, flags = scored_pairs(scores, same)
        order = np.argsort(-values, kind="stable")
        ranked, ranked_same = values[order], flags[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, dtype=np.intp)
        genuine_within = np.cumsum(ranked_same, dtype=np.intp)[last]
        impostor_within = last + 1 - genuine_within
        group = np.searchsorted(last, np.flatnonzero(ranked_same))
        above = np.append(0, impostor_within).astype(np.intp)[group]
        not_below = impostor_within[group]
        return cls(
            thresholds=ranked[last],
            genuine=order[ranked_same],
            impostor=order[~ranked_same],
            genuine_within=genuine_within,
            impostor_within=impostor_within,
            above=above,
            not_below=not_below,
            tied=bool((above != not_below).any()),
        )

    def unweighted(self) -> Curve:
        """The curve with every pair counted once."""
        return Curve(self, np.ones(len(self.genuine)), np.ones(len(self.impostor)))


class Curve:
    """A weighted ROC curve. Its figures are NaN where all genuine or all impostor pairs weigh nothing.

    Whole-number weights are summed without rounding as long as their sums stay below 2**53.
    """

    def __init__(self, ranking: Ranking, genuine: Weights, impostor: Weights) -> None:
        """Weighs a ranking.

        Args:
            ranking: the pairs in order.
            genuine: weights of the genuine pairs in the ranking's order (n,), none negative.
            impostor: weights of the impostor pairs (m,).
        """
        self._ranking = ranking
        self._genuine = genuine
        self._impostor_sums = _sums(impostor)

    @cached_property
    def _genuine_sums(self) -> Floats:
        return _sums(self._genuine)

    def auc(self) -> float:
        """Area under the curve: how often a genuine pair scores above an impostor pair, a tie being half a time."""
        return area(self._ranking, self._genuine, self._impostor_sums)

    def rates(self, group: int) -> tuple[float, float]:
        """False and true positive rate with all pairs of the ``group`` + 1 highest scores accepted; none for -1."""
        if group < 0:
            return 0.0, 0.0
        ranking = self._ranking
        accepted_impostor = self._impostor_sums[ranking.impostor_within[group]]
        accepted_genuine = self._genuine_sums[ranking.genuine_within[group]]
        return float(accepted_impostor / self._impostor_sums[-1]), float(accepted_genuine / self._genuine_sums[-1])

    def defined(self) -> bool:
        """Whether both kinds of pair have weight."""
        return bool(self._impostor_sums[-1] > 0 and self._genuine_sums[-1] > 0)

    def eer(self) -> float:
        """Equal error rate: where the curve, straight between its points, has as many false negatives as positives."""
        if not self.defined():
            return float("nan")
        low, high = -1, len(self._ranking.thresholds) - 1
        while high - low > 1:
            middle = (low + high) // 2
            fpr, tpr = self.rates(middle)
            low, high = (middle, high) if fpr + tpr < 1 else (low, middle)
        (fpr, tpr), (next_fpr, next_tpr) = self.rates(low), self.rates(high)
        share = (1 - fpr - tpr) / (next_fpr + next_tpr - fpr - tpr)
        return fpr + share * (next_fpr - fpr)

    def tpr_at(self, fpr: float) -> float:
        """True positive rate within a budget of false positives; see `verification.tpr_at_fpr`."""
        if not self.defined():
            return float("nan")
        group = self.last_within(fpr)
        reached_fpr, reached_tpr = self.rates(group)
        if group + 1 == len(self._ranking.thresholds):
            return reached_tpr
        next_fpr, next_tpr = self.rates(group + 1)
        share = max(0.0, (fpr - reached_fpr) / (next_fpr - reached_fpr))
        return reached_tpr + share * (next_tpr - reached_tpr)

    def last_within(self, fpr: float) -> int:
        """The lowest threshold (its index) whose false positive rate is at most ``fpr``; -1 if none is."""
        budget = fpr * self._impostor_sums[-1] * ROUNDING
        # Binary search over groups through two monotone tables: few steps, no array of the groups' size.
        most = np.searchsorted(self._impostor_sums, budget, side="right") - 1
        return int(np.searchsorted(self._ranking.impostor_within, most, side="right")) - 1


def area(ranking: Ranking, genuine: Weights, impostor_sums: Floats) -> float:
    """AUC of weighted pairs; NaN where either kind weighs nothing.

    Args:
        ranking: the pairs in order.
        genuine: weights of the genuine pairs (n,).
        impostor_sums: running sums of the impostor pairs' weights, from 0 on (m + 1,).
    """
    total = genuine.sum() * impostor_sums[-1]
    if not total > 0:
        return float("nan")
    beaten_by = impostor_sums.take(ranking.above)
    beaten_by += impostor_sums.take(ranking.not_below) if ranking.tied else beaten_by
    # Not a dot product: BLAS brings threads of its own, which in the bootstrap's threads get into each other's way.
    beaten_by *= genuine
    return float(1.0 - beaten_by.sum() / (2.0 * total))


def _sums(weights: Weights) -> Floats:
    sums = np.zeros(len(weights) + 1)
    np.cumsum(weights, out=sums[1:])
    return sums
