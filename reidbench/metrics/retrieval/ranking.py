"""How well a query image finds its patient's other images in a gallery.

Scores come in blocks of queries, so that memory is bounded by a block and not by queries × gallery. Definitions follow
Musgrave et al. (2020), "A metric learning reality check": with R other images of the query's patient in the gallery,
AP@R = (1/R) Σ_{i ≤ R} P(i) rel(i) and R-Precision is the share of the patient's images among the first R. The query
itself is excluded by its identifier, never as "the nearest". Tied scores count as in `ties`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from reidbench.metrics.parallel import over_threads, threads
from reidbench.metrics.retrieval.expected_ranks import TieGroups, expected
from reidbench.metrics.retrieval.gallery_influence import GainSums
from reidbench.metrics.retrieval.query_ranks import QueryRanks, Task
from reidbench.metrics.validation import Indices

ScoreBlock = Callable[[slice], NDArray[np.floating[Any]]]

# Scores held at once when the caller names no block: 16 MiB in single precision, twice that with the sorted copy.
# Larger blocks are no faster.
BLOCK_SCORES = 2**22
# A matrix product of fewer rows spends its time on rearranging the gallery.
FILLED_ROWS = 64


@runtime_checkable
class FilledBlocks(Protocol):
    """Scores that can be written where they are sorted: no array is made for a block, and threads share the blocks."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the scores: float32 or float64."""
        ...

    def fill(self, which: slice, out: NDArray[np.floating[Any]]) -> None:
        """Writes scores of a slice of the queries into ``out`` (B, G); called from several threads at once.

        They may differ from the scores of the block by a constant for each query, which changes no order.
        """
        ...


def rank_queries(
    score_block: ScoreBlock,
    query_patients: ArrayLike,
    gallery_patients: ArrayLike,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    block: int | None = None,
    pictures: tuple[ArrayLike, ArrayLike] | None = None,
    influence: bool = False,
    whole: bool = True,
) -> QueryRanks:
    """Ranks the gallery for every query, block by block.

    Args:
        score_block: given a slice of the queries, their finite scores against the whole gallery (B, G), higher = more
            alike; called once a block, in order. It must give equal gallery images equal scores
            (`similarity.euclidean_scores` does).
        query_patients: (Q,) whole numbers or text.
        gallery_patients: (G,).
        query_ids: image identifiers (Q,).
        gallery_ids: image identifiers (G,), none twice; a query's own image is excluded from its ranking.
        block: queries at a time; by default as many as make four million scores.
        pictures: a number or text for every query (Q,) and every gallery image (G,), equal where two images of one
            patient are the same picture under two names. Copies of a query are excluded from its ranking as it is
            itself: finding them is not recognition.
        influence: whether to follow what each patient of the gallery does to the others, for intervals that are not of
            this gallery alone.
        whole: whether to rank the whole gallery. Otherwise only the first R images are put in order, as many as the
            query has to find: AP@R, R-Precision and Precision@1 are the same, mean ranks are NaN, and best ranks are
            NaN where no image of the patient is among them. That takes three quarters of the time.

    Raises:
        ValueError: lengths differ, identifiers repeat in the gallery or contradict the patients, a block has a wrong
            shape or holds a score that is not finite; or ``influence`` is asked for without the whole ranking.
    """
    if influence and not whole:
        raise ValueError("what patients do to each other needs the whole ranking")
    task = Task.of(query_patients, gallery_patients, query_ids, gallery_ids, pictures)
    rows_at_once = block if block is not None else max(1, BLOCK_SCORES // max(1, task.gallery))
    if rows_at_once < 1:
        raise ValueError(f"block must be at least 1, not {rows_at_once}")

    def rank(rows: NDArray[np.floating[Any]], start: int) -> _Found:
        return _rank_rows(rows, task, start, influence) if whole else _rank_top(rows, task, start)

    if isinstance(score_block, FilledBlocks):
        parts = _rank_filled(score_block, task, rows_at_once if block else max(rows_at_once, FILLED_ROWS), rank)
    else:
        parts = _rank_given(score_block, task, rows_at_once, rank)
    query, above, not_below = (
        np.concatenate([part[i] for part in parts]) if parts else np.empty(0, dtype=np.intp) for i in range(3)
    )
    gains = None
    if influence:
        gains = GainSums(task.gallery_patient, len(task.names))
        for *_, of_part in parts:
            gains.sums += of_part.sums if of_part is not None else 0
    return task.ranks(TieGroups.of_relevant(query, above, not_below), gains, whole=whole)


def chance_retrieval(
    query_patients: ArrayLike, gallery_patients: ArrayLike, query_ids: ArrayLike, gallery_ids: ArrayLike
) -> QueryRanks:
    """What a constant score finds: the exact expectation of guessing, without any scores.

    Args:
        query_patients: (Q,) whole numbers or text.
        gallery_patients: (G,).
        query_ids: image identifiers (Q,).
        gallery_ids: image identifiers (G,), none twice.

    Raises:
        ValueError: lengths differ, or identifiers repeat in the gallery or contradict the patients.
    """
    task = Task.of(query_patients, gallery_patients, query_ids, gallery_ids)
    asked = np.flatnonzero(task.relevant())
    nothing = np.zeros(len(asked), dtype=np.intp)
    everything = task.gallery - task.left_out()[asked]
    return task.ranks(TieGroups(asked, nothing, everything, task.relevant()[asked], nothing))


def chance_of(ranks: QueryRanks) -> QueryRanks:
    """What a constant score finds for the same queries in the same galleries, as :func:`chance_retrieval` does.

    Args:
        ranks: of which only ``patients``, ``relevant`` and ``candidates`` are used.
    """
    asked = np.flatnonzero(ranks.asked)
    nothing = np.zeros(len(asked), dtype=np.intp)
    groups = TieGroups(asked, nothing, ranks.candidates[asked], ranks.relevant[asked], nothing)
    figures = expected(groups, ranks.relevant)
    return replace(
        ranks,
        average_precision=figures.average_precision,
        r_precision=figures.r_precision,
        precision_at_1=figures.precision_at_1,
        best_rank=figures.best_rank,
        mean_rank=figures.mean_rank,
    )


# Query, number of images above, and number not below, for every relevant image of some queries; and the gains of these
# queries, None unless they are followed.
_Found = tuple[Indices, Indices, Indices, GainSums | None]
# Ranks the queries from a number on, one for each row of scores, which are put in another order.
_Rank = Callable[[NDArray[np.floating[Any]], int], _Found]


def _rank_filled(blocks: FilledBlocks, task: Task, rows_at_once: int, rank: _Rank) -> list[_Found]:
    """Each thread scores and ranks blocks of its own, in one buffer."""
    bounds = [*range(0, task.queries, rows_at_once), task.queries]
    pieces = list(pairwise(bounds))

    def work(mine: list[tuple[int, int]]) -> list[_Found]:
        held = np.empty((min(rows_at_once, task.queries), task.gallery), dtype=blocks.dtype)
        found = []
        for start, stop in mine:
            blocks.fill(slice(start, stop), held[: stop - start])
            found.append(rank(held[: stop - start], start))
        return found

    count = min(threads(), len(pieces))
    if count < 2:
        return work(pieces)
    # The threads of BLAS would wait for each other, and for a core, at each of many products.
    with threadpool_limits(1, "blas"):
        shares = over_threads(work, [pieces[number::count] for number in range(count)])
    return [shares[number % count][number // count] for number in range(len(pieces))]


def _rank_given(score_block: ScoreBlock, task: Task, rows_at_once: int, rank: _Rank) -> list[_Found]:
    """Blocks are scored one after the other, by a function that may have threads of its own, and ranked by threads."""
    found: list[_Found] = []
    held: NDArray[np.floating[Any]] | None = None
    for start in range(0, task.queries, rows_at_once):
        stop = min(start + rows_at_once, task.queries)
        scores = np.asarray(score_block(slice(start, stop)))
        if scores.shape != (stop - start, task.gallery):
            raise ValueError(f"score_block gave shape {scores.shape}, expected {(stop - start, task.gallery)}")
        dtype = np.float32 if scores.dtype == np.float32 else np.float64
        if held is None or held.dtype != dtype:
            held = np.empty(
                (rows_at_once if start + rows_at_once < task.queries else stop - start, task.gallery), dtype
            )

        def work(
            rows: slice, scores: NDArray[Any] = scores, held: NDArray[np.floating[Any]] = held, start: int = start
        ) -> _Found:
            # A copy: the caller's array is not ours to reorder.
            np.copyto(held[rows], scores[rows], casting="unsafe")
            return rank(held[rows], start + rows.start)

        cuts = np.linspace(0, stop - start, min(threads(), stop - start) + 1).astype(int).tolist()
        found += over_threads(work, [slice(low, high) for low, high in pairwise(cuts)])
    return found


def _rank_rows(ordered: NDArray[np.floating[Any]], task: Task, start: int, influence: bool) -> _Found:
    """Ranks of the queries from ``start`` on, one for each row of scores, which are put in order."""
    count = len(ordered)
    (rows, columns), left_out = task.relevant_images(start, start + count)
    values = ordered[rows, columns]
    finite = bool(np.isfinite(ordered[left_out]).all())
    # Puts the query itself, and its copies, last.
    ordered[left_out] = -np.inf
    lowest = np.bincount(left_out[0], minlength=count).tolist()
    bounds = np.searchsorted(rows, np.arange(count + 1)).tolist()
    above, not_below = np.empty(len(rows), dtype=np.intp), np.empty(len(rows), dtype=np.intp)
    gains = GainSums(task.gallery_patient, len(task.names)) if influence else None
    weights = task.weights()[start : start + count]
    for row in range(count):
        line, mine = ordered[row], slice(bounds[row], bounds[row + 1])
        if mine.start < mine.stop:
            raw = line.copy() if gains is not None else line
            line.sort()
            above[mine] = line.searchsorted(values[mine], side="right")
            not_below[mine] = line.searchsorted(values[mine], side="left")
            # Infinite scores have a place in the order, but -inf is taken. NaN comes last of all.
            ends = line[lowest[row]], line[-1]
            if gains is not None:
                gains.add(raw, line, columns[mine], float(weights[row]))
        elif lowest[row] < task.gallery:
            # A query with nothing to find needs no order.
            line[left_out[1][left_out[0] == row]] = 0
            ends = line.min(), line.max()
        else:
            continue
        finite = finite and bool(np.isfinite(ends[0]) and np.isfinite(ends[1]))
    if not finite:
        raise ValueError(f"scores of queries {start}..{start + count - 1} are not all finite")
    return rows + start, task.gallery - above, task.gallery - not_below, gains


def _rank_top(scores: NDArray[np.floating[Any]], task: Task, start: int) -> _Found:
    """As :func:`_rank_rows`, for the relevant images alone that are among the first R of a query, or tied with them."""
    count = len(scores)
    if not np.isfinite(scores).all():
        raise ValueError(f"scores of queries {start}..{start + count - 1} are not all finite")
    (rows, columns), left_out = task.relevant_images(start, start + count)
    values = scores[rows, columns]
    scores[left_out] = -np.inf
    bounds = np.searchsorted(rows, np.arange(count + 1)).tolist()
    above, not_below = np.empty(len(rows), dtype=np.intp), np.empty(len(rows), dtype=np.intp)
    shown = np.zeros(len(rows), dtype=np.bool_)
    for row in range(count):
        line, mine = scores[row], slice(bounds[row], bounds[row + 1])
        wanted = mine.stop - mine.start
        if not wanted:
            continue
        line.partition(len(line) - wanted)
        top = line[len(line) - wanted :]
        top.sort()
        sought = values[mine]
        shown[mine] = sought >= top[0]
        above[mine] = wanted - top.searchsorted(sought, side="right")
        not_below[mine] = wanted - top.searchsorted(sought, side="left")
        last = sought == top[0]
        if last.any():
            # Others with this score may be below the first R.
            not_below[mine][last] = np.count_nonzero(line >= top[0])
    return rows[shown] + start, above[shown], not_below[shown], None
