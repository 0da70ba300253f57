"""Risk of each patient: averages hide single patients that are always found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench.metrics.intervals import Interval, bootstrap_mean_patients
from reidbench.metrics.retrieval.query_ranks import QueryRanks
from reidbench.metrics.validation import Floats, Indices, codes

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class PatientRisk:
    """One row for each of K patients with something to find; patients without are left out.

    Attributes:
        patients: their identifiers, in the order in which they first ask (K,).
        queries: how many of the patient's images asked (K,).
        best_rank: the lowest rank of a right image over all the patient's queries; under ties the lowest of the
            queries' expectations (K,).
        mean_rank: mean over the patient's queries of the mean rank of its other images (K,).
        map_at_r: mean of AP@R over the patient's queries (K,).
        precision_at_1: share of the patient's queries whose first image is right (K,).
        found_by_every_image: 1 if every query of the patient finds a right image at rank 1; the probability of it under
            ties, the order within ties being drawn anew for every query (K,).
    """

    patients: NDArray[Any]
    queries: Indices
    best_rank: Floats
    mean_rank: Floats
    map_at_r: Floats
    precision_at_1: Floats
    found_by_every_image: Floats


@dataclass(frozen=True)
class RiskSummary:
    """How risk spreads over patients; NaN throughout where no patient has anything to find.

    Attributes:
        patients: how many.
        map_at_r: mean over patients of their mean AP@R, with an interval over patients.
        found_by_every_image: share of patients whose every image finds a right one at rank 1, with an interval.
        best_rank: quantiles over patients of the best rank, by quantile; low quantiles are the patients most at risk.
        mean_rank: quantiles over patients of the mean rank.
        map_at_r_quantiles: quantiles over patients of mean AP@R; here high quantiles are those most at risk.
    """

    patients: int
    map_at_r: Interval
    found_by_every_image: Interval
    best_rank: Mapping[float, float]
    mean_rank: Mapping[float, float]
    map_at_r_quantiles: Mapping[float, float]


def patient_risk(ranks: QueryRanks) -> PatientRisk:
    """Gathers the queries of each patient.

    Args:
        ranks: what each query found.
    """
    asked = ranks.asked
    identifiers = ranks.patients[asked]
    (patient,), patients = codes(identifiers)
    queries = np.bincount(patient, minlength=patients)

    def mean(values: Floats) -> Floats:
        return np.bincount(patient, weights=values[asked], minlength=patients) / queries

    best_rank, every = np.full(patients, np.inf), np.ones(patients)
    np.minimum.at(best_rank, patient, ranks.best_rank[asked])
    np.multiply.at(every, patient, ranks.precision_at_1[asked])
    return PatientRisk(
        patients=identifiers[np.unique(patient, return_index=True)[1]],
        queries=queries,
        best_rank=best_rank,
        mean_rank=mean(ranks.mean_rank),
        map_at_r=mean(ranks.average_precision),
        precision_at_1=mean(ranks.precision_at_1),
        found_by_every_image=every,
    )


def summarize_risk(
    risk: PatientRisk,
    *,
    quantiles: Sequence[float] = QUANTILES,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> RiskSummary:
    """The spread of risk over patients.

    The interval of ``found_by_every_image`` is no narrower at 0 and 1 than `guarded_share` allows.

    Args:
        risk: one row per patient.
        quantiles: which, each in [0, 1].
        runs: resamples of patients for the intervals.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Raises:
        ValueError: a quantile, ``runs`` or ``level`` is out of range.
    """
    rows = np.arange(len(risk.queries))

    def mean(values: Floats, share: bool = False) -> Interval:
        return bootstrap_mean_patients(values, rows, share=share, runs=runs, seed=seed, level=level)

    def spread(values: Floats) -> dict[float, float]:
        if not len(values):
            return {each: float("nan") for each in quantiles}
        return {each: float(np.quantile(values, each)) for each in quantiles}

    return RiskSummary(
        patients=len(rows),
        map_at_r=mean(risk.map_at_r),
        found_by_every_image=mean(risk.found_by_every_image, share=True),
        best_rank=spread(risk.best_rank),
        mean_rank=spread(risk.mean_rank),
        map_at_r_quantiles=spread(risk.map_at_r),
    )
