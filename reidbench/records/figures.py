"""Scores judged: from vectors and pairs to the record's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.metrics.retrieval.ranking import BLOCK_SCORES
from reidbench.records import schema
from reidbench.records.parts.common import Interval
from reidbench.records.quantize import leveled

if TYPE_CHECKING:
    from reidbench.cohorts.pairing.image_pairs import Pairs
    from reidbench.records.strata import GenuineStrata

# The operating points that a record states.
LOW_FPR = 0.01
LOWEST_FPR = 0.001
# The 2022 paper decides at one half; the calibrated threshold is set on validation pairs at this false positive rate.
HALF = 0.5
BOOTSTRAP_SEED = 20220926

Scores = NDArray[np.floating[Any]]


def interval(found: metrics.Interval) -> Interval:
    """A figure with its interval, for the record."""
    return Interval.of(found)


def verification(
    scores: Scores,
    pairs: Pairs,
    patients: NDArray[np.int64],
    *,
    probabilities: Scores,
    validation: tuple[Scores, NDArray[np.bool_]] | None,
    runs: int,
    strata: GenuineStrata | None = None,
    definitions: int = schema.DEFINITIONS,
) -> schema.VerificationMetrics:
    """Judges the scores of pairs.

    Args:
        scores: (P,), higher = more alike.
        pairs: P pairs of rows of ``patients``.
        patients: (N,) each image's patient.
        probabilities: (P,) of one patient; NaN throughout where the attacker only ranks.
        validation: scores and truth of validation pairs, to set a threshold on.
        runs: bootstrap resamplings.
        strata: divides the genuine pairs; None to leave that out.
        definitions: of the record, which says which intervals it has.
    """
    same = pairs.same
    # The same resamplings for every attacker on these pairs: differences between runs stay paired.
    by_patient = metrics.bootstrap_verification_patients(
        scores,
        same,
        patients[pairs.a],
        patients[pairs.b],
        fprs=(LOW_FPR, LOWEST_FPR),
        runs=runs,
        seed=BOOTSTRAP_SEED,
        guarded=definitions >= 2,
    )
    calibrated, threshold = None, float("nan")
    if validation is not None and validation[1].size:
        threshold = metrics.threshold_at_fpr(*validation, LOW_FPR)
        if not np.isnan(threshold):
            calibrated = _decision(scores, same, threshold)
    at_half = None if np.isnan(probabilities).any() else _decision(probabilities, same, HALF)
    divided = None
    if strata is not None:
        thresholds = {
            "calibrated": (scores, threshold if calibrated else None),
            "at_half": (probabilities, HALF if at_half else None),
        }
        divided = strata.judge(thresholds, runs=runs, seed=BOOTSTRAP_SEED)
    return schema.VerificationMetrics(
        auc=interval(by_patient.auc),
        auc_pairs=interval(metrics.bootstrap_auc_pairs(scores, same, runs=runs, seed=BOOTSTRAP_SEED)),
        eer=interval(by_patient.eer),
        tpr_at_fpr_1=interval(by_patient.tpr_at_fpr[LOW_FPR]),
        tpr_at_fpr_01=interval(by_patient.tpr_at_fpr[LOWEST_FPR]),
        at_half=at_half,
        calibrated=calibrated,
        genuine=int(same.sum()),
        impostor=int((~same).sum()),
        strata=divided,
    )


def rank_images(
    score_block: Callable[[slice], Scores],
    patients: NDArray[np.int64],
    pictures: NDArray[np.int64] | None = None,
    *,
    influence: bool = False,
) -> metrics.QueryRanks:
    """Ranks all images for every image, which asks for its patient's other images.

    Args:
        score_block: rows of the (N, N) matrix of scores, probes by gallery; higher = more alike.
        patients: (N,) each image's patient; probe i and gallery i are versions of one image, which is excluded.
        pictures: (N,) equal where two images of a patient are the same picture, which is excluded too; None where no
            image has a copy.
        influence: whether to follow what each patient does to the others as part of the gallery, for intervals; in the
            precision that is kept, so that they can be computed again.
    """
    images = np.arange(len(patients))
    both = None if pictures is None else (pictures, pictures)
    ranks = metrics.rank_queries(score_block, patients, patients, images, images, pictures=both, influence=influence)
    if ranks.influence is None:
        return ranks
    return replace(ranks, influence=replace(ranks.influence, gains=leveled(ranks.influence.gains).astype(np.float64)))


def all_pairs(patients: NDArray[np.int64], pictures: NDArray[np.int64] | None = None) -> metrics.AllPairs:
    """Counts all pairs of N images, probes by gallery.

    Args:
        patients, pictures: as of :func:`rank_images`.
    """
    shown = np.arange(len(patients)) if pictures is None else pictures
    return metrics.AllPairs(patients, patients, shown, shown)


def area_of_all_pairs(
    score_block: Callable[[slice], Scores], patients: NDArray[np.int64], pictures: NDArray[np.int64] | None = None
) -> float | None:
    """The AUC over all pairs of N images, probes by gallery; None without a pair of either kind.

    Args:
        score_block, patients, pictures: as of :func:`rank_images`.
    """
    counted = all_pairs(patients, pictures)
    at_once = max(1, BLOCK_SCORES // max(1, len(patients)))
    for start in range(0, len(patients), at_once):
        rows = slice(start, min(start + at_once, len(patients)))
        counted.add(rows, score_block(rows))
    area = counted.auc()
    return None if np.isnan(area) else area


def retrieval(ranks: metrics.QueryRanks, *, runs: int) -> schema.RetrievalMetrics:
    """Judges rankings, beside what guessing finds.

    Args:
        ranks: what each of the N images found among the others.
        runs: bootstrap resamplings.
    """
    return judge_ranks(ranks, metrics.chance_of(ranks), runs=runs)


def judge_ranks(ranks: metrics.QueryRanks, guessed: metrics.QueryRanks, *, runs: int) -> schema.RetrievalMetrics:
    """The record's figures of what every image found, beside what guessing finds."""
    found = metrics.summarize_retrieval(ranks, runs=runs, seed=BOOTSTRAP_SEED)
    risk = metrics.summarize_risk(metrics.patient_risk(ranks), runs=runs, seed=BOOTSTRAP_SEED)
    later = {}
    if ranks.influence is not None:
        # Records of the first definitions lack it.
        later["map_at_r_patients"] = nan_mean(metrics.patient_risk(guessed).map_at_r)
    return schema.RetrievalMetrics(
        map_at_r=interval(found.map_at_r),
        map_at_r_patients=interval(found.patient_map_at_r),
        r_precision=interval(found.r_precision),
        precision_at_1=interval(found.precision_at_1),
        chance={
            "map_at_r": nan_mean(guessed.average_precision),
            "r_precision": nan_mean(guessed.r_precision),
            "precision_at_1": nan_mean(guessed.precision_at_1),
            **later,
        },
        risk=schema.PatientRisk(
            patients=risk.patients,
            found_by_every_image=interval(risk.found_by_every_image),
            best_rank=_by_quantile(risk.best_rank),
            mean_rank=_by_quantile(risk.mean_rank),
            map_at_r=_by_quantile(risk.map_at_r_quantiles),
        ),
        probes=found.asked,
        gallery=int(ranks.candidates.max(initial=-1)) + 1,
    )


def nan_mean(values: NDArray[np.float64]) -> float:
    """Mean over the probes that ask something; NaN if none does."""
    asked = values[~np.isnan(values)]
    return float(asked.mean()) if len(asked) else float("nan")


def _by_quantile(values: Mapping[float, float]) -> dict[str, float | None]:
    return {f"{quantile:g}": value for quantile, value in values.items()}


def _decision(scores: Scores, same: NDArray[np.bool_], threshold: float) -> schema.Decision:
    found = metrics.threshold_metrics(scores, same, threshold)
    return schema.Decision(
        threshold=found.threshold,
        true_positives=found.true_positives,
        false_positives=found.false_positives,
        true_negatives=found.true_negatives,
        false_negatives=found.false_negatives,
    )
