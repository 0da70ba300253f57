"""Who is to be found where, everything about a retrieval but its scores, and what comes of it for each query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.retrieval.expected_ranks import TieGroups, expected
from reidbench.metrics.retrieval.gallery_influence import GainSums, GalleryInfluence
from reidbench.metrics.validation import Bools, Floats, Indices, codes


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
class Task:
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
    ) -> Task:
        """As :func:`reidbench.metrics.retrieval.ranking.rank_queries` is given it.

        Raises:
            ValueError: lengths differ, identifiers repeat in the gallery or contradict the patients.
        """
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
        """How many there are, Q."""
        return len(self.query_patient)

    def left_out(self) -> Indices:
        """How many gallery images each query is not compared with: itself, and copies of it (Q,)."""
        if self.query_picture is None or self.gallery_picture is None:
            return (self.own >= 0).astype(np.intp)
        size = max(self.query_picture.max(initial=-1), self.gallery_picture.max(initial=-1)) + 1
        return np.bincount(self.gallery_picture, minlength=size)[self.query_picture]

    def relevant(self) -> Indices:
        """R, how many images each query has to find (Q,)."""
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

    def ranks(self, groups: TieGroups, gains: GainSums | None = None, *, whole: bool = True) -> QueryRanks:
        """Figures of the queries.

        Args:
            groups: the tie groups of all relevant images, or only of those that begin among the first R.
            whole: which of the two.
        """
        wanted = self.relevant()
        figures = expected(groups, wanted)
        mean_rank, first = figures.mean_rank, figures.precision_at_1
        if not whole:
            mean_rank = np.full(self.queries, np.nan)
            # Where no relevant image is among the first R, there is none at rank 1.
            first = np.where((wanted > 0) & np.isnan(first), 0.0, first)
        return QueryRanks(
            patients=self.patients,
            relevant=wanted,
            candidates=self.gallery - self.left_out(),
            average_precision=figures.average_precision,
            r_precision=figures.r_precision,
            precision_at_1=first,
            best_rank=figures.best_rank,
            mean_rank=mean_rank,
            influence=gains.taken(self.names) if gains is not None else None,
        )
