"""The control of published models: the vectors of the same network before any training, under the same attackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.sources import Links
from reidbench.records import figures
from reidbench.records.ladder import Negatives
from reidbench.records.parts.membership import Untrained
from reidbench.records.quantize import leveled

#: Initializations, of which the spread is shown: training starts from one of them.
NETWORKS = 3


def judge_untrained(
    networks: Sequence[Sequence[Links]],
    pairs: Mapping[Negatives, Pairs],
    patients: NDArray[np.int64],
    pictures: NDArray[np.int64] | None,
) -> Untrained:
    """The highest figures over the attackers, of each network that has learned nothing.

    Args:
        networks: the attackers on the vectors of each network.
        pairs: test pairs by kind of negatives.
        patients: (N,) of the test images.
        pictures: (N,) as :func:`reidbench.records.figures.rank_images` has it.
    """
    aucs: dict[str, list[float | None]] = {negatives: [] for negatives in pairs}
    precisions: list[float | None] = []
    for attackers in networks:
        for negatives, chosen in pairs.items():
            scores = [leveled(links.scores(chosen)) for links in attackers]
            aucs[negatives].append(_highest([metrics.roc_auc(one, chosen.same) for one in scores]))
        ranks = [figures.rank_images(links.block, patients, pictures) for links in attackers]
        # Averaged over patients, as the figure that a table ranks by.
        precisions.append(_highest([figures.nan_mean(metrics.patient_risk(one).map_at_r) for one in ranks]))
    return Untrained(auc=aucs, map_at_r_patients=precisions)


def _highest(found: Sequence[float]) -> float | None:
    return max((value for value in found if not np.isnan(value)), default=None)
