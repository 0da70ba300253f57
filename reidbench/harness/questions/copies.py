"""Copies of training patients: what a defense that learned from them publishes of them in the place of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.harness.questions.linkability import DIGITS, short_interval
from reidbench.images import map_images
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.parts.questions import Copies
from reidbench.steps.releases import Published

#: Images are compared at this width and height at most.
SIDE = 32
#: The share of originals, which copy nobody, that are taken for copies.
FALSE_SHARE = 0.05


def judge_copies(parts: Mapping[str, Cohort], published: Published, *, runs: int) -> Copies | None:
    """Counts them; None for a defense that learns from nobody, and without a train or a validation part.

    Args:
        runs: bootstrap resamplings.
    """
    if published.info().fitting is None or not len(parts["train"]) or not len(parts["val"]):
        return None
    train, held_out = (_small(parts[split].pixels) for split in ("train", "val"))
    usual = metrics.nearness(_small(parts["test"].pixels), train, held_out).ratios
    made = metrics.nearness(_small(published.images("test").pixels), train, held_out)
    # An image that is in both parts is a copy of nobody in particular.
    usual, ratios = (np.nan_to_num(each, nan=1.0, posinf=np.finfo(np.float64).max) for each in (usual, made.ratios))
    limit = float(np.quantile(usual, FALSE_SHARE, method="lower"))
    # Nothing is nearer than an exact copy, which images of several parts may be.
    nearer = np.less if limit > 0 else np.less_equal
    copies = nearer(ratios, limit)
    known = parts["train"].frame["patient"].to_numpy()
    names, counts = np.unique(known[made.nearest[copies]], return_counts=True)
    share = metrics.bootstrap_mean_patients(
        copies.astype(np.float64),
        parts["test"].frame["patient"].to_numpy(),
        share=True,
        runs=runs,
        seed=BOOTSTRAP_SEED,
    )
    return Copies(
        patients=len(np.unique(known)),
        images=len(copies),
        limit=round(limit, DIGITS),
        copies=short_interval(share),
        originals=round(float(nearer(usual, limit).mean()), DIGITS),
        copied=len(names),
        most=round(counts.max(initial=0) / len(copies), DIGITS),
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    size = tuple(min(SIDE, side) for side in pixels.shape[1:])
    return map_images(lambda images: F.adaptive_avg_pool2d(images, size).flatten(1), pixels)
