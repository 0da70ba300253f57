"""A ROC curve thinned for drawing, exact where attacks matter: at low false positive rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.validation import Floats
from reidbench.metrics.verification.bootstrap import bootstrap_verification_patients
from reidbench.metrics.verification.curve import ROUNDING, Ranking

# The first false positives one by one; from there on so many points a tenfold that a line between them hides nothing.
_ONE_BY_ONE = 20
_PER_DECADE = 30
# Rates that are stated in numbers: the curve has a point at each, or at the next whole pair below.
_STATED = (0.001, 0.01, 0.1, 0.5)


@dataclass(frozen=True, eq=False)
class RocPoints:
    """Points of a ROC curve at chosen false positive rates; NaN where either kind of pair is missing.

    Attributes:
        fpr: false positive rates, rising from 0 to 1 (G,); each is a whole number of impostor pairs.
        tpr: true positive rates there, as `tpr_at_fpr` has them (G,).
        low: lower end of the band (G,); NaN where there is none, as at rates of less than ten impostor pairs, see
            `why_unbounded`.
        high: upper end (G,); every rate by itself, so that a curve in the band's level may leave it somewhere.
    """

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats

    def place(self, fpr: float) -> int:
        """The point at a false positive rate in [0, 1], or the next one below it."""
        return int(self.fpr.searchsorted(fpr * ROUNDING, side="right")) - 1


def roc_rates(impostors: int) -> Floats:
    """False positive rates to draw a curve at: every one of the lowest, then evenly on a logarithmic axis, and 1.

    At 0.1 %, 1 %, 10 % and 50 % there is a point too, at the most impostor pairs that these allow.

    Args:
        impostors: how many impostor pairs there are; 0 gives the ends alone.
    """
    if not impostors:
        return np.array([0.0, 1.0])
    last = int(np.ceil(np.log10(impostors) * _PER_DECADE)) + 1
    spaced = np.round(np.logspace(0, np.log10(impostors), last)).astype(np.intp)
    first = np.arange(min(_ONE_BY_ONE, impostors) + 1)
    stated = (np.array(_STATED) * impostors * ROUNDING).astype(np.intp)
    return np.union1d(np.concatenate([first, spaced, stated]), [impostors]) / impostors


def roc_points(scores: ArrayLike, same: ArrayLike) -> RocPoints:
    """The thinned curve without a band, ``low`` and ``high`` being NaN.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.

    Raises:
        ValueError: shapes differ or a score is NaN.
    """
    ranking = Ranking.of(scores, same)
    curve = ranking.unweighted()
    rates = roc_rates(len(ranking.impostor))
    nothing = np.full(len(rates), np.nan)
    return RocPoints(rates, curve.tprs_at(rates), nothing, nothing)


def bootstrap_roc_patients(
    scores: ArrayLike,
    same: ArrayLike,
    patient_a: ArrayLike,
    patient_b: ArrayLike,
    *,
    runs: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> RocPoints:
    """The thinned curve with a pointwise band from resampling patients, on both sides of every pair.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.
        patient_a: (P,) patient of the first image.
        patient_b: (P,) patient of the second image.
        runs: resamples; a band needs fewer than an interval that is printed.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Raises:
        ValueError: as `bootstrap_auc_patients`.
    """
    rates = roc_rates(int((~np.asarray(same, dtype=np.bool_)).sum()))
    found = bootstrap_verification_patients(
        scores, same, patient_a, patient_b, fprs=rates.tolist(), runs=runs, seed=seed, level=level
    )
    points = [found.tpr_at_fpr[rate] for rate in rates.tolist()]
    return RocPoints(
        rates,
        np.array([point.value for point in points]),
        np.array([point.low for point in points]),
        np.array([point.high for point in points]),
    )
