"""Intervals of retrieval figures over patients, each of whom has images among the probes and in the gallery.

A figure is computed again without each of K patients, as probes and in the gallery, and its variance follows from how
far these K figures lie apart (Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 1981).
Nothing is drawn: the difference of two figures of the same patients has the interval of its own K differences, in which
what both share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.intervals import (
    Interval,
    checked,
    effective_number,
    guarded_difference,
    guarded_graded,
    guarded_share,
    where_guarded,
)
from reidbench.metrics.retrieval.gallery_influence import GalleryInfluence
from reidbench.metrics.validation import Floats, codes


@dataclass(frozen=True, eq=False)
class Jackknife:
    """A figure and what it is without each of K patients.

    Attributes:
        value: the figure; NaN where it is undefined.
        without: (K,) the figure without each patient; NaN where nothing is left.
        patients: (K,) whom.
        weighs: (K,) what each patient's probes weigh in the figure, 0 for patients who ask nothing.
    """

    value: float
    without: Floats
    patients: NDArray[Any]
    weighs: Floats

    @property
    def influence(self) -> Floats:
        """(K,) how far each patient moves the figure, centred, so that its variance is the sum of squares."""
        spread = np.nanmean(self.without) - self.without if len(self.without) else self.without
        count = len(self.without)
        return np.nan_to_num(spread) * sqrt(max(count - 1, 0) / max(count, 1))

    @property
    def error(self) -> float:
        """The standard error over patients; NaN with fewer than two."""
        return float(np.sqrt((self.influence**2).sum())) if len(self.without) > 1 else float("nan")


def leave_patients_out(
    values: ArrayLike,
    patients: ArrayLike,
    influence: GalleryInfluence,
    row: int,
    *,
    each: Literal["image", "patient"] = "image",
) -> Jackknife:
    """The mean of a figure of probes without each patient.

    Args:
        values: (Q,) the figure of each probe; NaN where it asks nothing.
        patients: (Q,) whole numbers or text.
        influence: what leaving each patient out of the gallery does to the others' probes.
        row: which of its gains are those of this figure.
        each: what counts once: an ``image``, or a ``patient`` with the mean of its images.

    Raises:
        ValueError: lengths differ, or a probe's patient is none of the gallery's.
    """
    figures = np.asarray(values, dtype=np.float64)
    (known, patient), count = codes(influence.patients, patients)
    if figures.shape != patient.shape:
        raise ValueError(f"values have shape {figures.shape}, patients {patient.shape}")
    if count > len(known):
        raise ValueError("a patient of the probes is none of the gallery's")
    asked = ~np.isnan(figures)
    patient, figures = patient[asked], figures[asked]
    weighs: Floats = np.bincount(patient, minlength=count).astype(np.float64)
    sums: Floats = np.bincount(patient, weights=figures, minlength=count).astype(np.float64)
    if each == "patient":
        sums, weighs = sums / np.maximum(weighs, 1), (weighs > 0).astype(np.float64)
    total, left = sums.sum() - sums + influence.gains[row], weighs.sum() - weighs
    without = np.divide(total, left, out=np.full(count, np.nan), where=left > 0)
    value = float(sums.sum() / weighs.sum()) if weighs.any() else float("nan")
    return Jackknife(value, without, np.asarray(influence.patients), weighs)


def jackknife_interval(found: Jackknife, *, share: bool = False, level: float = 0.95) -> Interval:
    """A figure in [0, 1] with its interval: the standard error over patients times Student's t.

    Degrees of freedom are those of the effective number of patients whose probes ask, by what they weigh: where a few
    patients have most of the probes, the error itself is uncertain.

    Args:
        found: the figure without each patient.
        share: the figure is a share of those found, whose interval is no narrower at 0 and at 1 than `guarded_share`
            allows; others are guarded as `guarded_graded` does.
        level: coverage aimed at, in (0, 1).

    Returns:
        The figure; ends within [0, 1], NaN where fewer than two patients ask.

    Raises:
        ValueError: ``level`` is out of (0, 1).
    """
    effective = effective_number(found.weighs)
    bare = _around(found.value, found.error, effective, level)
    if np.isnan(bare.low):
        return bare
    kept = Interval(bare.value, max(bare.low, 0.0), min(bare.high, 1.0))
    return guarded_share(kept, effective, level) if share else _at_the_ends(kept, effective, level)


def jackknife_rise(after: Jackknife, before: Jackknife, *, level: float = 0.95, guarded: bool = True) -> Interval:
    """How much a figure is higher for one retrieval than for another of the same patients, with a paired interval.

    Args:
        after, before: of the same patients in the same order.
        level: coverage aimed at, in (0, 1).
        guarded: whether `guarded_difference` bounds it where one of the figures is 0 or 1, as graded figures are
            bounded themselves; False leaves that out, as in records of before.

    Returns:
        The figure after less that before; NaN ends where fewer than two patients ask.

    Raises:
        ValueError: the patients differ, or ``level`` is out of (0, 1).
    """
    if not np.array_equal(after.patients, before.patients) or not np.array_equal(after.weighs, before.weighs):
        raise ValueError("figures of different patients are not paired")
    error = float(np.sqrt(((after.influence - before.influence) ** 2).sum()))
    effective = effective_number(after.weighs)
    found = _around(after.value - before.value, error, effective, level)
    if not guarded or np.isnan(found.low):
        return found
    bare = (Interval(side.value, side.value, side.value) for side in (before, after))
    sides = [where_guarded(side, _at_the_ends(side, effective, level)) for side in bare]
    return guarded_difference(found, less=sides[0], of=sides[1])


def _around(value: float, error: float, effective: float, level: float) -> Interval:
    from scipy.special import stdtrit  # Tables of boards start without it.

    checked(1, level)
    if np.isnan(value) or np.isnan(error) or effective <= 1:
        return Interval(value, float("nan"), float("nan"))
    half = error * float(stdtrit(effective - 1, (1 + level) / 2))
    return Interval(value, value - half, value + half)


def _at_the_ends(found: Interval, patients: float, level: float) -> Interval:
    """Guarded where the figure itself is 0 or 1: an interval that is cut off at an end says enough of the other."""
    return guarded_graded(found, patients, level) if found.value in (0, 1) else found
