"""Cumulative match curves, and their expectation under guessing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.metrics import QueryRanks

RANKS = 50


def cumulative_match(ranks: QueryRanks) -> NDArray[np.float64]:
    """Share of probes whose first correct image has rank k or less, k = 1, 2, … (at most 50); (K,).

    Under ties the rank is an expectation, as in the metrics.
    """
    best = ranks.best_rank[ranks.asked]
    if not len(best):
        return np.empty(0)
    last = min(RANKS, int(ranks.candidates.max()))
    return np.searchsorted(np.sort(best), np.arange(1, last + 1), side="right") / len(best)


def chance_match(ranks: QueryRanks) -> NDArray[np.float64]:
    """The same for guessing: 1 − C(n − R, k) / C(n, k) for R correct images among n, averaged over the probes; (K,)."""
    from scipy.special import gammaln

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
