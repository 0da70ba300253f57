"""Whether trained attackers find more than no network does, on validation pairs: poor training overstates privacy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.sources import Scores
from reidbench.images import to_unit
from reidbench.records.figures import interval
from reidbench.records.paired.drops import fall_of
from reidbench.records.parts.training import TrainingCheck
from reidbench.records.schema import Attack

SEED = 20260301
#: Pairs whose pixels are compared at once.
AT_ONCE = 4096


def pixel_scores(held: NDArray[np.uint8], published: NDArray[np.uint8], pairs: Pairs) -> Scores:
    """Minus the Euclidean distance of the images of each pair, (P,).

    Args:
        held, published: (N, H, W) each.
    """
    first, second = (to_unit(side).flatten(1).numpy() for side in (held, published))
    scores = np.empty(len(pairs.a), dtype=np.float32)
    for start in range(0, len(scores), AT_ONCE):
        block = slice(start, start + AT_ONCE)
        scores[block] = -np.linalg.norm(first[pairs.a[block]] - second[pairs.b[block]], axis=1)
    return scores


def check_training(trained: Scores, raw: Scores, pairs: Pairs, patients: NDArray[Any], *, runs: int) -> TrainingCheck:
    """An attacker's scores of the validation pairs against those of no training.

    Args:
        trained, raw: (P,) each.
        patients: (N,) of the validation images.
        runs: bootstrap resamplings of patients.
    """
    fall = metrics.bootstrap_auc_drop_patients(
        raw, trained, pairs.same, patients[pairs.a], patients[pairs.b], runs=runs, seed=SEED
    )
    gain = fall_of(fall)
    aucs = [metrics.roc_auc(scores, pairs.same) for scores in (trained, raw)]
    known = [None if np.isnan(auc) else auc for auc in aucs]
    return TrainingCheck(auc=known[0], raw_auc=known[1], gain=interval(gain))


def add_check(judged: list[Attack], check: TrainingCheck) -> list[Attack]:
    """The attacks of one attacker on one rung, with the check beside its retrieval."""
    return [one.model_copy(update={"check": check}) if one.task == "retrieval" else one for one in judged]
