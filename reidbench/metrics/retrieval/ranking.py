"""How well a query image finds its patient's other images in a gallery.

Scores come in blocks of queries, so that memory is bounded by a block and not by queries × gallery. Definitions follow
Musgrave et al. (2020), "A metric learning reality check": with R other images of the query's patient in the gallery,
AP@R = (1/R) Σ_{i ≤ R} P(i) rel(i) and R-Precision is the share of the patient's images among the first R. The query
itself is excluded by its identifier, never as "the nearest". Tied scores count as in `ties`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from reidbench.metrics.parallel import over_threads, threads
from reidbench.metrics.retrieval.expected_ranks import TieGroups, expected
from reidbench.metrics.retrieval.gallery_influence import GainSums, GalleryInfluence
from reidbench.metrics.validation import Bools, Floats, Indices, codes

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


@dataclass(frozen=True, eq=False)
class QueryRanks:
    """What each of Q queries found; figures are (Q,) float64, NaN where ``relevant`` is 0.

    Attributes:
        patients: the queries' patients, as given (Q,).
        relevant: R, the number of the patient's other images in the gallery (Q,).
        candidates: gallery images other than the query itself and copies of it (Q,).
        average_precision: AP@R, in [0, 1].
        r_precision: R-Precision, in [0, 1].
        precision_at_1: 1 if the first image is the patient's; its probability under ties.
        best_rank: rank of the patient's first image, 1 at best.
        mean_rank: mean rank of all the patient's other images, (R + 1) / 2 at best.
        influence: what each patient of the gallery does to the others; None where that was not asked for.
    """

    patients: NDArray[Any]
    relevant: Indices
    candidates: Indices
    average_precision: Floats
    r_precision: Floats
    precision_at_1: Floats
    best_rank: Floats
    mean_rank: Floats
    influence: GalleryInfluence | None = None

    @property
    def asked(self) -> Bools:
        """Which queries have something to find (Q,)."""
        return self.relevant > 0

    @property
    def unasked(self) -> int:
        """How many queries have nothing to find and are left out of every average."""
        return int((~self.asked).sum())


@dataclass(frozen=True, eq=False)
class _Task:
    """Who is to be found where: everything about a retrieval but its scores."""

    patients: NDArray[Any]
    query_patient: Indices
    own: Indices  # the query's own position in the gallery, -1 if it is not there
    by_patient: Indices  # gallery positions, patient after patient
    first: Indices  # where in by_patient a patient begins
    images: Indices  # gallery images a patient has
    gallery: int
    gallery_patient: Indices
    names: NDArray[Any]  # of the patients by their numbers
    query_picture: Indices | None = None  # equal where two images of a patient are copies of one picture
    gallery_picture: Indices | None = None

    @classmethod
    def of(
        cls,
        query_patients: ArrayLike,
        gallery_patients: ArrayLike,
        query_ids: ArrayLike,
        gallery_ids: ArrayLike,
        pictures: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> _Task:
        (query_patient, gallery_patient), patients = codes(query_patients, gallery_patients)
        named, first = np.unique(np.r_[query_patient, gallery_patient], return_index=True)
        assert len(named) == patients
        (query_id, gallery_id), identifiers = codes(query_ids, gallery_ids)
        if len(query_patient) != len(query_id) or len(gallery_patient) != len(gallery_id):
            raise ValueError("every query and every gallery image needs one patient and one identifier")
        place = np.full(identifiers, -1, dtype=np.intp)
        place[gallery_id] = np.arange(len(gallery_id))
        if (place >= 0).sum() < len(gallery_id):
            raise ValueError("gallery identifiers repeat; a query could not be excluded by its identifier")
        own = place[query_id]
        if (gallery_patient[own[own >= 0]] != query_patient[own >= 0]).any():
            raise ValueError("an image has one patient as a query and another in the gallery")
        images = np.bincount(gallery_patient, minlength=patients)
        return cls(
            patients=np.asarray(query_patients),
            query_patient=query_patient,
            own=own,
            by_patient=np.argsort(gallery_patient, kind="stable"),
            first=np.cumsum(images) - images,
            images=images,
            gallery=len(gallery_id),
            gallery_patient=gallery_patient,
            names=np.r_[np.asarray(query_patients), np.asarray(gallery_patients)][first],
            **cls._pictures(query_patient, gallery_patient, own, pictures),
        )

    @staticmethod
    def _pictures(
        query_patient: Indices, gallery_patient: Indices, own: Indices, pictures: tuple[ArrayLike, ArrayLike] | None
    ) -> dict[str, Indices]:
        if pictures is None:
            return {}
        (of_query, of_gallery), _ = codes(*pictures)
        if len(of_query) != len(query_patient) or len(of_gallery) != len(gallery_patient):
            raise ValueError("every query and every gallery image needs one picture")
        if (of_gallery[own[own >= 0]] != of_query[own >= 0]).any():
            raise ValueError("an image has one picture as a query and another in the gallery")
        # Of two patients with one picture neither is left out: that would hide an error of the table.
        stacked = np.column_stack([np.r_[query_patient, gallery_patient], np.r_[of_query, of_gallery]])
        both = np.unique(stacked, axis=0, return_inverse=True)[1].reshape(-1).astype(np.intp)
        return {"query_picture": both[: len(of_query)], "gallery_picture": both[len(of_query) :]}

    @property
    def queries(self) -> int:
        return len(self.query_patient)

    def left_out(self) -> Indices:
        """How many gallery images each query is not compared with: itself, and copies of it (Q,)."""
        if self.query_picture is None or self.gallery_picture is None:
            return (self.own >= 0).astype(np.intp)
        size = max(self.query_picture.max(initial=-1), self.gallery_picture.max(initial=-1)) + 1
        return np.bincount(self.gallery_picture, minlength=size)[self.query_picture]

    def relevant(self) -> Indices:
        return self.images[self.query_patient] - self.left_out()

    def relevant_images(self, start: int, stop: int) -> tuple[tuple[Indices, Indices], tuple[Indices, Indices]]:
        """Of queries start..stop-1, row within the block and gallery column: of every relevant image, row by row, and
        of every image that the query is not compared with.
        """
        patient = self.query_patient[start:stop]
        counts = self.images[patient]
        rows = np.repeat(np.arange(stop - start), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = self.by_patient[np.repeat(self.first[patient], counts) + within]
        if self.query_picture is None or self.gallery_picture is None:
            other = columns != self.own[start:stop][rows]
        else:
            other = self.gallery_picture[columns] != self.query_picture[start:stop][rows]
        return (rows[other], columns[other]), (rows[~other], columns[~other])

    def weights(self) -> Floats:
        """One over the number of the patient's queries that have something to find (Q,)."""
        asked = np.bincount(self.query_patient, weights=self.relevant() > 0, minlength=len(self.names))
        return 1 / np.maximum(asked, 1)[self.query_patient]

    def ranks(self, groups: TieGroups, gains: GainSums | None = None) -> QueryRanks:
        figures = expected(groups, self.relevant())
        return QueryRanks(
            patients=self.patients,
            relevant=self.relevant(),
            candidates=self.gallery - self.left_out(),
            average_precision=figures.average_precision,
            r_precision=figures.r_precision,
            precision_at_1=figures.precision_at_1,
            best_rank=figures.best_rank,
            mean_rank=figures.mean_rank,
            influence=gains.taken(self.names) if gains is not None else None,
        )


def rank_queries(
    score_block: ScoreBlock,
    query_patients: ArrayLike,
    gallery_patients: ArrayLike,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    block: int | None = None,
    pictures: tuple[ArrayLike, ArrayLike] | None = None,
    influence: bool = False,
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

    Raises:
        ValueError: lengths differ, identifiers repeat in the gallery or contradict the patients, a block has a wrong
            shape or holds a score that is not finite.
    """
    task = _Task.of(query_patients, gallery_patients, query_ids, gallery_ids, pictures)
    rows_at_once = block if block is not None else max(1, BLOCK_SCORES // max(1, task.gallery))
    if rows_at_once < 1:
        raise ValueError(f"block must be at least 1, not {rows_at_once}")
    if isinstance(score_block, FilledBlocks):
        parts = _rank_filled(score_block, task, rows_at_once if block else max(rows_at_once, FILLED_ROWS), influence)
    else:
        parts = _rank_given(score_block, task, rows_at_once, influence)
    query, above, not_below = (
        np.concatenate([part[i] for part in parts]) if parts else np.empty(0, dtype=np.intp) for i in range(3)
    )
    gains = None
    if influence:
        gains = GainSums(task.gallery_patient, len(task.names))
        for *_, of_part in parts:
            gains.sums += of_part.sums if of_part is not None else 0
    return task.ranks(TieGroups.of_relevant(query, above, not_below), gains)


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
    task = _Task.of(query_patients, gallery_patients, query_ids, gallery_ids)
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


def _rank_filled(blocks: FilledBlocks, task: _Task, rows_at_once: int, influence: bool) -> list[_Found]:
    """Each thread scores and ranks blocks of its own, in one buffer."""
    bounds = [*range(0, task.queries, rows_at_once), task.queries]
    pieces = list(pairwise(bounds))

    def work(mine: list[tuple[int, int]]) -> list[_Found]:
        held = np.empty((min(rows_at_once, task.queries), task.gallery), dtype=blocks.dtype)
        found = []
        for start, stop in mine:
            blocks.fill(slice(start, stop), held[: stop - start])
            found.append(_rank_rows(held[: stop - start], task, start, influence))
        return found

    count = min(threads(), len(pieces))
    if count < 2:
        return work(pieces)
    # The threads of BLAS would wait for each other, and for a core, at each of many products.
    with threadpool_limits(1, "blas"):
        shares = over_threads(work, [pieces[number::count] for number in range(count)])
    return [shares[number % count][number // count] for number in range(len(pieces))]


def _rank_given(score_block: ScoreBlock, task: _Task, rows_at_once: int, influence: bool) -> list[_Found]:
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

        def rank(
            rows: slice, scores: NDArray[Any] = scores, held: NDArray[np.floating[Any]] = held, start: int = start
        ) -> _Found:
            # A copy: the caller's array is not ours to reorder.
            np.copyto(held[rows], scores[rows], casting="unsafe")
            return _rank_rows(held[rows], task, start + rows.start, influence)

        cuts = np.linspace(0, stop - start, min(threads(), stop - start) + 1).astype(int).tolist()
        found += over_threads(rank, [slice(low, high) for low, high in pairwise(cuts)])
    return found


def _rank_rows(ordered: NDArray[np.floating[Any]], task: _Task, start: int, influence: bool) -> _Found:
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
