"""Test images that the attackers of a bundle were trained on: a run refuses them, or leaves them out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from reidbench.bundles.bundle import Bundle
from reidbench.cohorts.base import Cohort, remap
from reidbench.errors import ReidbenchError

#: From this share of the cohort's training images on, the bundle is taken to have been trained on this very cohort.
SAME_COHORT = 0.95
JUDGED = ("test", "val")


@dataclass(frozen=True, eq=False)
class Cleared:
    """A cohort of which no judged image was a training image of the bundle.

    Attributes:
        cohort: without those images.
        left_out: how many were left out.
        known_cohort: whether the bundle was trained on the cohort's training images.
    """

    cohort: Cohort
    left_out: int = 0
    known_cohort: bool = False


def clear(cohort: Cohort, bundle: Bundle | None, *, leave_out: bool = False) -> Cleared:
    """Compares a cohort with the training images of a bundle.

    Images of the test and validation splits count: an attacker knows its own training images, and would link them, and
    be chosen, for that reason alone. Images are recognized by their decoded pixels: another copy of the same file is
    found, a rescanned or cropped one is not.

    Args:
        cohort: at the bundle's image size.
        bundle: None for none.
        leave_out: leave such images out; otherwise they are refused.

    Raises:
        ReidbenchError: there are such images and ``leave_out`` is not set, or no test image is left.
    """
    if bundle is None or not bundle.training_images:
        return Cleared(cohort)
    seen = bundle.seen(cohort.pixels)
    splits = cohort.frame["split"].to_numpy()
    judged = seen & np.isin(splits, JUDGED)
    train = splits == "train"
    known_cohort = bool(train.any() and seen[train].mean() >= SAME_COHORT)
    count = int(judged.sum())
    if not count:
        return Cleared(cohort, 0, known_cohort)
    of_test = int(np.isin(splits, JUDGED).sum())
    told = f"{count:,} of the {of_test:,} test and validation images"
    if not leave_out:
        raise ReidbenchError(
            f"{cohort.name}: the bundle {bundle.card.name} was trained on {told}: its figures would be too high; "
            "add --leave-out-known to judge the others, or --attackers none"
        )
    kept = np.flatnonzero(~judged)
    if not (splits[kept] == "test").any():
        raise ReidbenchError(f"{cohort.name}: the bundle {bundle.card.name} was trained on all test images")
    frame = cohort.frame.iloc[kept].reset_index(drop=True)
    frame["patient"] = remap(frame["patient_id"])
    # Another set of images is another experiment: nothing cached or recorded for the whole may be taken for it.
    revision = hashlib.sha256(f"{cohort.revision} without {bundle.digest}".encode()).hexdigest()
    note = f"{told} are left out because the bundle {bundle.card.name} was trained on them"
    made = replace(cohort, frame=frame, pixels=cohort.pixels[kept], revision=revision, notes=(*cohort.notes, note))
    return Cleared(made, count, known_cohort)


def require_unseen(cohort: Cohort, bundle: Bundle | None) -> None:
    """Refuses a cohort that is judged as a whole if the bundle was trained on any of its images.

    Raises:
        ReidbenchError: it was.
    """
    count = int(bundle.seen(cohort.pixels).sum()) if bundle is not None else 0
    if bundle is not None and count:
        raise ReidbenchError(
            f"{cohort.name}: the bundle {bundle.card.name} was trained on {count:,} of the {len(cohort):,} images: its "
            "figures would be too high; use --attackers none"
        )
