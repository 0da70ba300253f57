"""Curves from the scores beside a record: ROC with a band over patients, and cumulative match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from reidbench import metrics
from reidbench.harness.evaluate import BOOTSTRAP_SEED
from reidbench.harness.scores import RunScores
from reidbench.metrics import QueryRanks
from reidbench.metrics.roc import Ranking

# False positive rates at which a curve is drawn: even on both a linear and a logarithmic axis.
GRID: NDArray[np.float64] = np.unique(np.concatenate([np.logspace(-4, 0, 41), np.linspace(0, 1, 21)]))
# A band needs fewer resamplings than an interval that is printed to the third digit.
BAND_RUNS = 300
RANKS = 50


@dataclass(frozen=True, eq=False)
class Roc:
    """A ROC curve at :data:`GRID`.

    Attributes:
        tpr: true positive rates (G,).
        low, high: their 95 % band, each rate by itself, bootstrap over patients; None where it was not asked for.
    """

    tpr: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


def roc(scores: RunScores, attack: str, *, band: bool = False) -> Roc | None:
    """The ROC curve of one attack (its key with the negatives); None where one kind of pair is missing."""
    negatives = attack.rsplit("/", 1)[1]
    if attack not in scores.verification or negatives not in scores.pairs:
        return None
    a, b, same = scores.pairs[negatives]
    values = scores.verification[attack]
    if metrics.why_undefined(same) is not None:
        return None
    if not band:
        curve = Ranking.of(values, same).unweighted()
        return Roc(np.array([float(curve.tpr_at(fpr)) for fpr in GRID.tolist()]))
    found = metrics.bootstrap_verification_patients(
        values,
        same,
        scores.patients[a],
        scores.patients[b],
        fprs=GRID.tolist(),
        runs=BAND_RUNS,
        seed=BOOTSTRAP_SEED,
    )
    rates = [found.tpr_at_fpr[fpr] for fpr in GRID.tolist()]
    return Roc(
        np.array([rate.value for rate in rates]),
        np.array([rate.low for rate in rates]),
        np.array([rate.high for rate in rates]),
    )


def cumulative_match(ranks: QueryRanks) -> NDArray[np.float64]:
    """Share of probes whose first right image comes at rank k or before, k = 1, 2, … (at most 50); (K,).

    Under ties the rank is an expectation, as in the metrics.
    """
    best = ranks.best_rank[ranks.asked]
    if not len(best):
        return np.empty(0)
    last = min(RANKS, int(ranks.candidates.max()))
    return np.searchsorted(np.sort(best), np.arange(1, last + 1), side="right") / len(best)


def chance_match(ranks: QueryRanks) -> NDArray[np.float64]:
    """What guessing gives: 1 − C(n − R, k) / C(n, k) for R right images among n, averaged over the probes; (K,)."""
    asked = ranks.asked
    if not asked.any():
        return np.empty(0)
    last = min(RANKS, int(ranks.candidates.max()))
    k = np.arange(1, last + 1)[:, None]
    n, right = ranks.candidates[asked][None, :], ranks.relevant[asked][None, :]
    wrong = n - right
    possible = k <= wrong
    logs = gammaln(wrong + 1) - gammaln(np.where(possible, wrong - k, 0) + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return (1 - np.where(possible, np.exp(logs), 0.0)).mean(axis=1)
