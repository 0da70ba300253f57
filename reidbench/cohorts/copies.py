"""Images of a patient that are one picture under several names, and pairs that come from one visit.

Linking two copies of a picture is not recognition: any attacker can, and a dataset in which each patient has one
picture under two names would be judged as wholly re-identifiable. Copies are found by their decoded pixels, so that
neither name nor file format hides them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.notes import Note

_NAMED = 3


def picture_numbers(patients: NDArray[np.int64], pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for every image, equal where images of one patient have equal pixels: (N,) int64, 0..M-1.

    Args:
        patients: (N,) each image's patient.
        pixels: (N, S, S) uint8.
    """
    # One line of each image first: of a mapped file only these pages are read, and hardly any image shares it.
    middle = pixels.shape[1] // 2
    lines = pd.factorize(np.array([line.tobytes() for line in pixels[:, middle]], dtype=object))[0]
    keys = pd.DataFrame({"patient": patients, "line": lines})
    digests = np.full(len(keys), b"", dtype=object)
    for row in np.flatnonzero(keys.duplicated(keep=False)):
        digests[row] = hashlib.blake2b(pixels[row].tobytes(), digest_size=16).digest()
    keys["rest"] = pd.factorize(digests)[0]
    return np.asarray(keys.groupby(list(keys.columns), sort=False).ngroup(), dtype=np.int64)


def copied_pairs(pictures: NDArray[np.int64]) -> int:
    """How many genuine pairs are the same picture."""
    sizes = np.bincount(pictures)
    return int((sizes * (sizes - 1) // 2).sum())


def mark_copies(cohort: Cohort, dataset: Dataset) -> Cohort:
    """The cohort with a column ``picture`` where images have copies, and a note that counts them.

    The option ``copies=keep`` of a dataset leaves the column out, so that copies make pairs as other images do.
    """
    pictures = picture_numbers(cohort.frame["patient"].to_numpy(dtype=np.int64), cohort.pixels)
    pairs = copied_pairs(pictures)
    if not pairs:
        return cohort
    groups = cohort.frame["image_id"].groupby(pictures).agg(list)
    groups = groups[groups.map(len) > 1]
    named = "; ".join(" and ".join(names[:_NAMED]) for names in groups.iloc[:_NAMED])
    more = f"; and {len(groups) - _NAMED:,} more" if len(groups) > _NAMED else ""
    kept = getattr(dataset, "copies", "leave_out") == "keep"
    done = "count as others (copies=keep)" if kept else "are left out of pairs and rankings"
    note = Note(f"{pairs:,} genuine pairs are the same picture under two names and {done}", f"{named}{more}")
    frame = cohort.frame if kept else cohort.frame.assign(picture=pictures)
    return replace(cohort, frame=frame, notes=(*cohort.notes, note))


def same_visit_pairs(frame: pd.DataFrame) -> int | None:
    """How many genuine pairs are of one visit, by ``follow_up``, else by ``days``; None where the table has neither.

    Such pairs share the day's posture, clothes and devices, and are easier to link than pairs of two visits.
    """
    column = next((name for name in ("follow_up", "days") if name in frame and frame[name].notna().any()), None)
    if column is None:
        return None
    sizes = frame[frame[column].notna()].groupby(["patient_id", column]).size().to_numpy(dtype=np.int64)
    return int((sizes * (sizes - 1) // 2).sum())
