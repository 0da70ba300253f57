"""How much higher an attack's figure is in one run than in another, on the same pairs and the same probes.

Each resampling of patients weighs the scores of both runs, so that variation common to both cancels.
"""

from __future__ import annotations

import numpy as np

from reidbench import metrics
from reidbench.metrics.retrieval.gallery_influence import MAP_AT_R_PATIENTS
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.scores import RunScores

LEVEL = 0.95


def same_images(one: RunScores, other: RunScores) -> bool:
    """Whether the scores of two runs are of the same patients' images, in the same order."""
    return np.array_equal(one.patients, other.patients)


def same_pairs(one: RunScores, other: RunScores) -> bool:
    """Whether two runs were judged on the same pairs."""
    return one.pairs.keys() == other.pairs.keys() and all(
        np.array_equal(pairs, other.pairs[name]) for name, pairs in one.pairs.items()
    )


def auc_rise(
    base: RunScores,
    before: str,
    new: RunScores,
    after: str,
    negatives: tuple[str, str],
    *,
    runs: int,
    level: float = LEVEL,
    guarded: bool = True,
) -> metrics.Interval:
    """The AUC of attack ``after`` of the new run less that of ``before`` of the base run.

    Args:
        base, new: scores of the same images and pairs.
        before, after: keys of the attacks in them.
        negatives: of the pairs that each was judged on.
        runs: bootstrap runs.
        level: of the interval.
        guarded: False gives bare percentiles, as the drops of records had them before definitions 3.
    """
    (same, *patients), after_pairs = (_pairs(base, kind) for kind in reversed(negatives))
    return metrics.bootstrap_auc_drop_patients(
        new.verification[after],
        base.verification[before],
        same,
        *patients,
        after_pairs=after_pairs,
        runs=runs,
        seed=BOOTSTRAP_SEED,
        level=level,
        guarded=guarded,
    )


def _pairs(scores: RunScores, negatives: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, same = scores.pairs[negatives]
    return same.astype(bool), scores.patients[a], scores.patients[b]


def map_rise(
    base: RunScores,
    before: str,
    new: RunScores,
    after: str,
    *,
    runs: int,
    level: float = LEVEL,
    guarded: bool = True,
) -> metrics.Interval:
    """The rise of the mAP@R over patients, from leaving each out, or against fixed galleries in earlier runs.

    Args:
        base, new, before, after, runs, level, guarded: as of :func:`auc_rise`.
    """
    new_left_out, base_left_out = (patients_left_out(side, key) for side, key in ((new, after), (base, before)))
    if new_left_out is not None and base_left_out is not None:
        return metrics.jackknife_rise(new_left_out, base_left_out, level=level, guarded=guarded)
    rises = new.average_precision[after].astype(float) - base.average_precision[before]
    return metrics.bootstrap_mean_patients(
        rises, base.patients, each="patient", runs=runs, seed=BOOTSTRAP_SEED, level=level
    )


def patients_left_out(scores: RunScores, attack: str) -> metrics.Jackknife | None:
    """The mAP@R over patients of an attack without each of them; None where the gallery's part was not kept."""
    influence = scores.influence(attack)
    if influence is None:
        return None
    values = scores.average_precision[attack].astype(float)
    return metrics.leave_patients_out(values, scores.patients, influence, MAP_AT_R_PATIENTS, each="patient")
