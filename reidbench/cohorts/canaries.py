"""Generated patients that a network remembers if it remembers anybody: for audits of what a training gives away."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Cohort

#: Blocks a side of a canary's image: coarse enough to outlast shifts by some pixels, fine enough to be its own.
BLOCKS = 8
SEED = 20230516


def canary_cohort(size: int, labels: tuple[str, ...], canaries: int, seed: int) -> Cohort:
    """Canary patients of one image each: black and white blocks at random, with findings at random.

    Nothing but a canary itself tells its findings, so that only a model that was trained on it knows them better than
    chance (compare the mislabelled examples of Steinke et al., "Privacy auditing with one (1) training run", 2023).

    Args:
        size: width and height of the images in pixels.
        labels: the findings, at least one.
        canaries: how many patients; all in the split ``train``.
        seed: of images and findings.
    """
    rng = np.random.default_rng([SEED, seed])
    blocks = rng.integers(0, 2, (canaries, BLOCKS, BLOCKS)).astype(np.uint8) * 255
    place = np.arange(size) * BLOCKS // size
    pixels = blocks[:, place[:, None], place]
    findings = rng.integers(0, 2, (canaries, len(labels))).astype(np.float64)
    names = [f"canary {number}" for number in range(canaries)]
    frame = pd.DataFrame(findings, columns=list(labels)).assign(
        image_id=names, patient_id=names, patient=np.arange(canaries, dtype=np.int64), split="train"
    )
    digest = hashlib.sha256(b"canaries")
    for array in (pixels, findings):
        digest.update(np.ascontiguousarray(array).data)
    return Cohort("canaries", frame, pixels, labels, digest.hexdigest(), generated=True)
