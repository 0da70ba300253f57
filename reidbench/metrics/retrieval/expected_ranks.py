"""Retrieval figures of a ranking with ties: expectations over uniformly random order among equal scores.

In a group of n gallery images of which r are relevant, with A images (B of them relevant) ranked before it, the image
at rank A + k is relevant with probability r / n, and then 1 + (k - 1)(r - 1)/(n - 1) of the group's first k are
relevant on average. With c = (r - 1)/(n - 1), the expectation of P(i) rel(i) at rank i is therefore
(r/n) ((B + 1 - (A + 1) c)/i + c), and its sum over ranks A + 1..m is
(r/n) ((B + 1 - (A + 1) c)(H_m - H_A) + c (m - A)), H being harmonic numbers. So a group costs the same whatever its
size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidbench.metrics.validation import Floats, Indices


@dataclass(frozen=True, eq=False)
class TieGroups:
    """The groups of equal scores that hold a relevant image, over all queries, by query and then by falling score.

    Attributes:
        query: whose ranking the group is in (T,).
        above: gallery images ranked before the group, A (T,).
        size: images in the group, n (T,).
        relevant: relevant ones among them, r (T,), at least 1.
        relevant_above: relevant images ranked before the group, B (T,).
    """

    query: Indices
    above: Indices
    size: Indices
    relevant: Indices
    relevant_above: Indices

    @classmethod
    def of_relevant(cls, query: Indices, above: Indices, not_below: Indices) -> TieGroups:
        """Groups relevant images by query and rank.

        Args:
            query: the query of each relevant image, rising (M,).
            above: how many gallery images score higher than it (M,).
            not_below: how many score higher or the same, itself included (M,).
        """
        order = np.lexsort((above, query))
        query, above, not_below = query[order], above[order], not_below[order]
        new = np.ones(len(query), dtype=np.bool_)
        new[1:] = (query[1:] != query[:-1]) | (above[1:] != above[:-1])
        first = np.flatnonzero(new)
        relevant = np.diff(np.append(first, len(query)))
        # Relevant images before a group: those before it in the whole list, less those before its query's first.
        relevant_above = first - np.searchsorted(query, query[first], side="left")
        return cls(query[first], above[first], not_below[first] - above[first], relevant, relevant_above)


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected figures of Q queries, each (Q,) float64, NaN where a query has no relevant image.

    Attributes:
        average_precision: AP@R.
        r_precision: share of relevant images among the first R.
        precision_at_1: chance that the first image is relevant.
        best_rank: rank of the first relevant image, from 1.
        mean_rank: mean rank of the relevant images.
    """

    average_precision: Floats
    r_precision: Floats
    precision_at_1: Floats
    best_rank: Floats
    mean_rank: Floats


def expected(groups: TieGroups, relevant: Indices) -> Expected:
    """Expectations over random order within ties.

    Args:
        groups: the tie groups of all queries.
        relevant: R, how many relevant images each query has (Q,); the groups of a query hold that many in all.
    """
    cutoff = relevant[groups.query]
    start, stop = np.minimum(groups.above, cutoff), np.minimum(groups.above + groups.size, cutoff)
    share = groups.relevant / groups.size
    rise = (groups.relevant - 1) / np.maximum(groups.size - 1, 1)
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, relevant.max(initial=0) + 1)))
    shrinking = groups.relevant_above + 1 - (groups.above + 1) * rise
    tied = shrinking * (harmonic[stop] - harmonic[start]) + rise * (stop - start)
    # A single image needs no harmonic numbers, whose rounding would keep a perfect ranking from being exactly 1.
    single = (stop > start) * (groups.relevant_above + 1) / (groups.above + 1)
    precisions = share * np.where(groups.size == 1, single, tied)

    def over_queries(values: Floats) -> Floats:
        sums = np.bincount(groups.query, weights=values, minlength=len(relevant))
        return np.divide(sums, relevant, out=np.full(len(relevant), np.nan), where=relevant > 0)

    query, first = np.unique(groups.query, return_index=True)
    above, size, found = groups.above[first], groups.size[first], groups.relevant[first]
    precision_at_1, best_rank = np.full(len(relevant), np.nan), np.full(len(relevant), np.nan)
    precision_at_1[query] = np.where(above == 0, found / size, 0.0)
    best_rank[query] = above + (size + 1) / (found + 1)
    return Expected(
        average_precision=over_queries(precisions),
        r_precision=over_queries(share * (stop - start)),
        precision_at_1=precision_at_1,
        best_rank=best_rank,
        mean_rank=over_queries(groups.relevant * (groups.above + (groups.size + 1) / 2)),
    )
