"""Singling out: is the best patient of a search so far ahead of all others that the search may be believed?

A search for a known image gives every patient the score of their best published image. The lead is the best patient's
score less that of the second. A patient is singled out if they come first with a lead above a limit, which is set so
that a search for a patient of whom nothing is published seldom leads as far: the patient's own images are left out of
the gallery, and the lead of the best of the others is what chance gives. The criterion is the first of the three of the
Article 29 Working Party (Opinion 05/2014): to isolate the records of one individual.

Where patients tie for the first place the lead is 0 and nobody is singled out, so that a release of equal images, and
groups of k equal images, are at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.retrieval.ranking import BLOCK_SCORES, ScoreBlock
from reidbench.metrics.validation import Floats, Indices, codes


@dataclass(frozen=True, eq=False)
class Leads:
    """The leads of searches.

    Attributes:
        patients: (M,) the patient that is searched for with each image of the patients who have at least two.
        own: (M,) the patient's best score less that of the best other patient; negative where another one is first.
        wrong: (M,) the lead of the best patient where it is another one, 0 otherwise.
        strangers: (N,) the patient of each image, those with a single one too.
        unpublished: (N,) the lead of the best of the others over the second, as if nothing of the patient were in the
            gallery; infinite where there is one other patient.
    """

    patients: Indices
    own: Floats
    wrong: Floats
    strangers: Indices
    unpublished: Floats


def leads(score_block: ScoreBlock, patients: ArrayLike) -> Leads:
    """The leads of all searches, block by block. The known image itself, and its release, are in no gallery.

    Args:
        score_block: rows of the (N, N) matrix of scores, probes by gallery; row i of both shows one image.
        patients: (N,) each image's patient.

    Returns:
        Empty arrays where there are fewer than two patients.

    Raises:
        ValueError: a score is not finite.
    """
    (patient,), count = codes(patients)
    images = len(patient)
    several = np.bincount(patient, minlength=count)[patient] > 1
    order = np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order], prepend=-1))
    found: list[tuple[Floats, ...]] = []
    step = max(1, BLOCK_SCORES // max(1, images))
    for begin in range(0, images if count > 1 else 0, step):
        rows = np.arange(begin, min(begin + step, images))
        scores = np.array(score_block(slice(begin, begin + len(rows))), dtype=np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("scores are not all finite")
        here = np.arange(len(rows))
        scores[here, rows] = -np.inf
        best = np.maximum.reduceat(scores[:, order], starts, axis=1)
        own = best[here, patient[rows]]
        best[here, patient[rows]] = -np.inf
        first = best.max(axis=1)
        best[here, best.argmax(axis=1)] = -np.inf
        second = best.max(axis=1)
        found.append((own - first, np.maximum(first - np.maximum(second, own), 0), first - second))
    own, wrong, unpublished = (np.concatenate(each) for each in zip(*found)) if found else [np.empty(0)] * 3
    searched = several[: len(own)]
    return Leads(patient[: len(own)][searched], own[searched], wrong[searched], patient[: len(own)], unpublished)


def lead_limit(found: Leads, share: float = 0.01) -> float:
    """The least limit that at most this share of unpublished patients exceed; at least 0.

    Every patient counts once, by the mean over their images.

    Raises:
        ValueError: there is no search, or the share is not in [0, 1).
    """
    if not len(found.strangers) or not 0 <= share < 1:
        raise ValueError(f"a limit takes at least one search and a share in [0, 1), not {share}")
    (owner,), patients = codes(found.strangers)
    weights = (1 / np.bincount(owner))[owner] / patients
    values, place = np.unique(found.unpublished, return_inverse=True)
    # How many exceed each value: of the values that few enough exceed, the least.
    above = 1 - np.cumsum(np.bincount(place, weights=weights))
    return max(0.0, float(values[np.flatnonzero(above <= share + 1e-12)[0]]))
