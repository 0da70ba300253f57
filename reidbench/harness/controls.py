"""What tells whether a run's figures mean anything: attacks without a network, and trainings that failed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.cohorts.pairing.metadata import metadata_score
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.harness.training_check import pixel_scores
from reidbench.images import to_unit
from reidbench.records.figures import nan_mean
from reidbench.records.ladder import Negatives
from reidbench.records.schema import Controls
from reidbench.steps.attackers import Trained


def judge_controls(
    parts: dict[str, Cohort],
    pairs: dict[Negatives, Pairs],
    patients: NDArray[np.int64],
    undefended: list[Trained],
) -> Controls:
    """Attacks from metadata alone and from raw pixels of the originals, and the reasons to distrust the run.

    Args:
        parts: the cohort by split.
        pairs: test pairs by kind of negatives.
        patients: (N,) of the test images.
        undefended: the attackers trained on originals.
    """
    test = parts["test"]
    vectors: NDArray[np.float32] = to_unit(test.pixels).flatten(1).numpy()
    metadata, pixels = {}, {}
    for negatives, chosen in pairs.items():
        metadata[negatives] = metrics.roc_auc(metadata_score(test.frame, chosen.a, chosen.b), chosen.same)
        pixels[negatives] = metrics.roc_auc(pixel_scores(test.pixels, test.pixels, chosen), chosen.same)
    images, pictures = np.arange(len(test)), pictures_of(test.frame)
    copies = None if pictures is None else (pictures, pictures)
    scores = metrics.euclidean_scores(vectors, vectors)
    ranks = metrics.rank_queries(scores, patients, patients, images, images, pictures=copies, whole=False)
    matched = pairs.get("matched")
    problems = [
        f"the {trained.attacker.name} attacker never learned on originals: its training loss stayed where it began"
        for trained in undefended
        if not trained.training.learned
    ]
    return Controls(
        metadata_only_auc=metadata,
        pixels_auc=pixels,
        pixels_map_at_r=nan_mean(ranks.average_precision),
        matched_negatives=matched.matched if matched else None,
        problems=problems,
    )
