"""The retrieval figures of a record: averages over queries, with intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reidbench.metrics.intervals import Interval, bootstrap_mean_patients
from reidbench.metrics.retrieval.gallery_influence import (
    MAP_AT_R,
    MAP_AT_R_PATIENTS,
    PRECISION_AT_1,
    R_PRECISION,
    GalleryInfluence,
)
from reidbench.metrics.retrieval.jackknife import jackknife_interval, leave_patients_out
from reidbench.metrics.retrieval.query_ranks import QueryRanks
from reidbench.metrics.validation import Floats


@dataclass(frozen=True)
class RetrievalSummary:
    """Averages over the queries that have something to find; NaN if none has.

    Attributes:
        map_at_r: mean AP@R over query images, as the literature has it.
        r_precision: mean R-Precision over query images.
        precision_at_1: mean Precision@1 over query images, a share of them.
        patient_map_at_r: mean over patients of their mean AP@R, so that many images don't buy many votes.
        asked: queries that count.
        unasked: queries with nothing to find.
    """

    map_at_r: Interval
    r_precision: Interval
    precision_at_1: Interval
    patient_map_at_r: Interval
    asked: int
    unasked: int


def summarize_retrieval(
    ranks: QueryRanks, *, runs: int = 10_000, seed: int = 0, level: float = 0.95
) -> RetrievalSummary:
    """Averages what the queries found, with intervals over patients.

    With what each patient does to the others as part of the gallery, which `rank_queries` follows on request, patients
    are left out one by one, as probes and in the gallery. Without it the patients of the probes are resampled against
    a fixed gallery, and intervals are too narrow. The interval of Precision@1 is no narrower at 0 and 1 than
    `guarded_share` allows for patients who weigh by their probes.

    Args:
        ranks: what each query found, or would find by chance.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Raises:
        ValueError: ``runs`` or ``level`` is out of range.
    """

    if ranks.influence is not None:
        return _jackknifed(ranks, ranks.influence, level)

    def mean(values: Floats, share: bool = False) -> Interval:
        return bootstrap_mean_patients(values, ranks.patients, share=share, runs=runs, seed=seed, level=level)

    return RetrievalSummary(
        map_at_r=mean(ranks.average_precision),
        r_precision=mean(ranks.r_precision),
        precision_at_1=mean(ranks.precision_at_1, share=True),
        patient_map_at_r=bootstrap_mean_patients(
            ranks.average_precision, ranks.patients, each="patient", runs=runs, seed=seed, level=level
        ),
        asked=int(ranks.asked.sum()),
        unasked=ranks.unasked,
    )


def _jackknifed(ranks: QueryRanks, influence: GalleryInfluence, level: float) -> RetrievalSummary:
    def mean(values: Floats, row: int, each: Literal["image", "patient"] = "image", share: bool = False) -> Interval:
        found = leave_patients_out(values, ranks.patients, influence, row, each=each)
        return jackknife_interval(found, share=share, level=level)

    return RetrievalSummary(
        map_at_r=mean(ranks.average_precision, MAP_AT_R),
        r_precision=mean(ranks.r_precision, R_PRECISION),
        precision_at_1=mean(ranks.precision_at_1, PRECISION_AT_1, share=True),
        patient_map_at_r=mean(ranks.average_precision, MAP_AT_R_PATIENTS, "patient"),
        asked=int(ranks.asked.sum()),
        unasked=ranks.unasked,
    )
