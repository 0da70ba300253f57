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
from reidbench.records.parts.questions import Copies
from reidbench.steps.releases import Published

#: Images are compared at this width and height at most.
SIDE = 32
#: Decides which training patients stand for strangers in the control.
SEED = 47


def judge_copies(parts: Mapping[str, Cohort], published: Published) -> Copies | None:
    """Counts them; None for a defense that learns from nobody, and without a train or a validation part."""
    if published.info().fitting is None or not len(parts["train"]) or not len(parts["val"]):
        return None
    made = _small(published.images("test").pixels)
    train, held_out = (_small(parts[split].pixels) for split in ("train", "val"))
    known, strangers = (parts[split].frame["patient"].to_numpy() for split in ("train", "val"))
    shares = metrics.copy_shares(made, train, known, held_out)
    names = np.unique(known)
    count = min(len(names), len(np.unique(strangers)))
    some = np.isin(known, np.random.default_rng(SEED).permutation(names)[:count])
    control = metrics.copy_shares(made, held_out, strangers, train[some])
    copied, usual = (
        short_interval(metrics.wilson_interval(int(np.count_nonzero(each)), len(each))) for each in (shares, control)
    )
    return Copies(
        patients=len(names), images=len(made), copied=copied, most=round(float(shares.max()), DIGITS), control=usual
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    size = tuple(min(SIDE, side) for side in pixels.shape[1:])
    return map_images(lambda images: F.adaptive_avg_pool2d(images, size).flatten(1), pixels)
