"""The ROC curve of scored pairs, each of which may count any number of times.

Scores are put in order once (`Ranking`); every set of weights then gives a `Curve` in time proportional to the number
of pairs, without sorting again. The bootstrap leans on that: a resample of pairs or patients is a set of weights, and
many of them are a stack, worked on at once where pairs are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.validation import Bools, Floats, Indices, scored_pairs

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
    """A weighted ROC curve, or a stack of them: weights of shape (n,) and (m,), or (R, n) and (R, m) for R curves.

    Figures of a stack are arrays (R,). They are NaN where all genuine or all impostor pairs weigh nothing. Whole-number
    weights are summed without rounding as long as their sums stay below 2**53.
    """

    def __init__(self, ranking: Ranking, genuine: Weights, impostor: Weights) -> None:
        """Weighs a ranking.

        Args:
            ranking: the pairs in order.
            genuine: weights of the genuine pairs in the ranking's order (n,) or (R, n), none negative.
            impostor: weights of the impostor pairs (m,) or (R, m).
        """
        self._ranking = ranking
        self._single = genuine.ndim == 1
        self._genuine: NDArray[Any] = np.atleast_2d(genuine)
        self._impostor_sums: NDArray[Any] = _sums(np.atleast_2d(impostor))

    @cached_property
    def _genuine_sums(self) -> NDArray[Any]:
        return _sums(self._genuine)

    @property
    def _impostor_total(self) -> NDArray[Any]:
        return self._impostor_sums[:, -1]

    @cached_property
    def _genuine_total(self) -> NDArray[Any]:
        return self._genuine_sums[:, -1]

    @cached_property
    def _defined(self) -> Bools:
        return np.asarray((self._impostor_total > 0) & (self._genuine_total > 0))

    def _beaten_by(self) -> Floats:
        """Weights of genuine pairs times twice the weight of the impostor pairs above them, summed (R,)."""
        ranking, sums = self._ranking, self._impostor_sums
        beaten_by = sums.take(ranking.above, axis=1)
        beaten_by += sums.take(ranking.not_below, axis=1) if ranking.tied else beaten_by
        # Not a dot product: BLAS brings threads of its own, which in the bootstrap's threads get into each other's way.
        beaten_by *= self._genuine
        total: Floats = beaten_by.sum(axis=1)
        return total

    def _shares(self, sums: NDArray[Any], places: Indices) -> Floats:
        """Each curve's running sum at a place (R,), as a share of its last; NaN of nothing."""
        reached = sums.ravel().take(places + np.arange(0, sums.size, sums.shape[1]))
        with np.errstate(invalid="ignore"):
            shares: Floats = reached / sums[:, -1]
        return shares

    def _most_within(self, budgets: Floats) -> Indices:
        """How many of the highest impostor pairs weigh at most each curve's budget (R,)."""
        sums = self._impostor_sums
        return np.array([row.searchsorted(budget, side="right") for row, budget in zip(sums, budgets)]) - 1

    def auc(self) -> Floats:
        """Area under the curve: how often a genuine pair scores above an impostor pair, a tie being half a time."""
        total = 2.0 * self._genuine.sum(axis=self._pairs_axis) * self._impostor_total
        with np.errstate(invalid="ignore"):
            return self._figure(1.0 - self._beaten_by() / total)

    #: The axis of weights that counts pairs; the other one counts curves.
    _pairs_axis = 1

    def eer(self) -> Floats:
        """Equal error rate: where the curve, straight between its points, has as many false negatives as positives."""
        if not self._defined.any():
            return self._figure(np.full(len(self._defined), np.nan))
        low = np.full(len(self._defined), -1)
        high = np.full(len(self._defined), len(self._ranking.thresholds) - 1)
        while (high - low > 1).any():
            # A curve whose search is over keeps its ends: its middle is its low end, where the sum lies below 1.
            middle = (low + high) // 2
            fpr, tpr = self._rates(middle)
            early = fpr + tpr < 1
            low, high = np.where(early, middle, low), np.where(early, high, middle)
        (fpr, tpr), (next_fpr, next_tpr) = self._rates(low), self._rates(high)
        with np.errstate(invalid="ignore"):
            share = (1 - fpr - tpr) / (next_fpr + next_tpr - fpr - tpr)
        return self._figure(fpr + share * (next_fpr - fpr))

    def tpr_at(self, fpr: float) -> Floats:
        """True positive rate within a budget of false positives; see `verification.tpr_at_fpr`."""
        if not self._defined.any():
            return self._figure(np.full(len(self._defined), np.nan))
        group = self._last_within(fpr)
        reached_fpr, reached_tpr = self._rates(group)
        next_fpr, next_tpr = self._rates(np.minimum(group + 1, len(self._ranking.thresholds) - 1))
        step = next_fpr - reached_fpr
        # At the last threshold there is no next one, and nothing to share.
        share = np.divide(fpr - reached_fpr, step, out=np.zeros(len(step)), where=step > 0)
        found = reached_tpr + np.maximum(share, 0.0) * (next_tpr - reached_tpr)
        # Without an impostor pair any threshold is within the budget.
        return self._figure(np.where(self._defined, found, np.nan))

    def tprs_at(self, fprs: Floats) -> Floats:
        """The same as :meth:`tpr_at` of each rate (G,), of a single curve; for drawing it."""
        assert self._single
        if not self._defined.any():
            return np.full(len(fprs), np.nan)
        last = len(self._ranking.thresholds) - 1
        most = self._impostor_sums[0].searchsorted(fprs * self._impostor_total * ROUNDING, side="right") - 1
        group = np.searchsorted(self._ranking.impostor_within, most, side="right") - 1
        reached_fpr, reached_tpr = self._single_rates(group)
        next_fpr, next_tpr = self._single_rates(np.minimum(group + 1, last))
        step = next_fpr - reached_fpr
        share = np.divide(fprs - reached_fpr, step, out=np.zeros(len(step)), where=step > 0)
        found: Floats = reached_tpr + np.maximum(share, 0.0) * (next_tpr - reached_tpr)
        return found

    def _single_rates(self, group: Indices) -> tuple[Floats, Floats]:
        """False and true positive rates of a single curve at several thresholds (G,); 0 for -1."""
        sides = (
            (self._impostor_sums[0], self._ranking.impostor_within),
            (self._genuine_sums[0], self._ranking.genuine_within),
        )
        fpr, tpr = (np.where(group < 0, 0.0, sums[within[group]] / sums[-1]) for sums, within in sides)
        return fpr, tpr

    def last_within(self, fpr: float) -> Indices:
        """The lowest threshold (its index) whose false positive rate is at most ``fpr``; -1 if none is."""
        found = self._last_within(fpr)
        return found[0] if self._single else found

    def _last_within(self, fpr: float) -> Indices:
        # Binary search over groups through two monotone tables: few steps, no array of the groups' size.
        most = self._most_within(fpr * self._impostor_total * ROUNDING)
        return np.asarray(np.searchsorted(self._ranking.impostor_within, most, side="right") - 1, dtype=np.intp)

    def _rates(self, group: Indices) -> tuple[Floats, Floats]:
        """False and true positive rates with all pairs of the ``group`` + 1 highest scores accepted (R,); 0 for -1."""
        none = group < 0
        ranking = self._ranking
        fpr = self._shares(self._impostor_sums, ranking.impostor_within[group])
        tpr = self._shares(self._genuine_sums, ranking.genuine_within[group])
        if none.any():
            fpr[none & self._defined] = tpr[none & self._defined] = 0.0
        return fpr, tpr

    def _figure(self, values: Floats) -> Floats:
        found: Floats = values[0] if self._single else values
        return found


def _sums(weights: Weights) -> Floats:
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
