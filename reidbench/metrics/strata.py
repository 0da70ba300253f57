"""True positive rates of genuine pairs, stratum by stratum: by years between visits, by view, and so on.

The threshold is taken as given. One that was set on validation pairs would come out a little different with other
validation patients; no interval here counts that in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.intervals import (
    Interval,
    checked,
    effective_number,
    guarded_share,
    over_patients,
    percentile_interval,
    wilson_interval,
)
from reidbench.metrics.validation import Floats, Indices, codes, score_vector

NO_PAIR = "no genuine pair"
ONE_PATIENT = "one patient: no interval over patients"


@dataclass(frozen=True)
class StratumRate:
    """What a threshold finds of the genuine pairs of one stratum.

    Attributes:
        pairs: genuine pairs.
        patients: patients whom they are of.
        tpr: share of them accepted, with the percentile interval from resampling patients, no narrower at 0 and 1 than
            `guarded_share` allows for patients who weigh by their pairs; the rate is NaN without a pair, the interval
            with less than two patients.
        tpr_pairs: the same with the Wilson interval, as if pairs were independent: too narrow, for comparison.
        why_undefined: why something is NaN, in a few words; None if nothing is.
    """

    pairs: int
    patients: int
    tpr: Interval
    tpr_pairs: Interval
    why_undefined: str | None


def tpr_by_stratum(
    scores: ArrayLike,
    stratum: ArrayLike,
    patients: ArrayLike,
    threshold: float,
    *,
    strata: int,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[StratumRate, ...]:
    """Shares of the genuine pairs of each stratum that a threshold accepts.

    All patients with a genuine pair are resampled, whatever strata their pairs fall in, so the number of a stratum's
    patients varies as it would with other patients. Resamples that leave a stratum without a pair are left out of its
    interval. The resamples are those of `bootstrap_mean_patients` with the same seed.

    Args:
        scores: (P,) of genuine pairs, higher = more alike.
        stratum: (P,) whole numbers 0..S-1; NaN where it is unknown, such a pair being in none.
        patients: (P,) the patient of each pair, whole numbers or text.
        threshold: a pair is accepted if its score is at least this; fixed, whatever it was set on.
        strata: S.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        S rates, in order.

    Raises:
        ValueError: shapes differ, a score or the threshold is NaN, a stratum is out of 0..S-1, or ``runs`` or ``level``
            is out of range.
    """
    checked(runs, level)
    values = score_vector(scores)
    if np.isnan(threshold):
        raise ValueError("threshold is NaN: there was nothing to calibrate it on")
    (patient,), count = codes(patients)
    place, known = _places(stratum, strata)
    if not values.shape == place.shape == patient.shape:
        raise ValueError(f"{len(values)} scores need as many strata and patients, not {len(place)} and {len(patient)}")
    accepted = (values >= threshold)[known]
    cells = patient[known] * strata + place[known]
    pairs = np.bincount(cells, minlength=count * strata).reshape(count, strata)
    found = np.bincount(cells[accepted], minlength=count * strata).reshape(count, strata)
    draws = _resampled_rates(found, pairs, runs, seed)
    return tuple(_rate(int(found[:, s].sum()), pairs[:, s], draws[:, s], level) for s in range(strata))


def _rate(found: int, pairs_each: NDArray[np.intp], draws: Floats, level: float) -> StratumRate:
    pairs, patients = int(pairs_each.sum()), int((pairs_each > 0).sum())
    by_pair = wilson_interval(found, pairs, level=level)
    if patients < 2:
        why = ONE_PATIENT if patients else NO_PAIR
        return StratumRate(pairs, patients, Interval(by_pair.value, float("nan"), float("nan")), by_pair, why)
    tpr = guarded_share(percentile_interval(by_pair.value, draws, level), effective_number(pairs_each), level)
    return StratumRate(pairs, patients, tpr, by_pair, None)


def _places(stratum: ArrayLike, strata: int) -> tuple[Indices, NDArray[np.bool_]]:
    """Strata as whole numbers, and where they are known."""
    given = np.asarray(stratum, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"stratum must be one-dimensional, not of shape {given.shape}")
    known = ~np.isnan(given)
    wrong = known & ~np.isin(given, np.arange(strata))
    if wrong.any():
        raise ValueError(f"stratum {given[wrong][0]:g} is none of 0 to {strata - 1}")
    return np.where(known, given, 0).astype(np.intp), known


def _resampled_rates(found: NDArray[np.intp], pairs: NDArray[np.intp], runs: int, seed: int) -> Floats:
    """Rates (runs, S) with patients (rows of both, (K, S)) drawn with replacement; NaN where no pair is drawn."""
    count, strata = pairs.shape
    if not count:
        return np.full((runs, strata), np.nan)
    both = np.hstack([found, pairs]).astype(np.float64)

    def rates(counts: Floats) -> Floats:
        # Whole numbers in float64: the sums are exact, in whatever order they are taken.
        sums = np.einsum("rk,ks->rs", counts, both)
        drawn = sums[:, strata:]
        return np.divide(sums[:, :strata], drawn, out=np.full_like(drawn, np.nan), where=drawn > 0)

    return over_patients(rates, count, runs, seed, width=both.size)
