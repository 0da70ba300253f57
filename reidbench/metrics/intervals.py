"""Percentile intervals by resampling, and the loop that every bootstrap here runs in.

Patients, not pairs or images, are the independent units of a re-identification test: the images of one patient share
the anatomy, and every pair shares its patients with others. What is resampled with replacement is therefore patients,
each coming with all its images and pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.parallel import over_threads
from reidbench.metrics.validation import Floats, Indices, codes

# Resampled figures, or what is drawn for them: (runs, figures).
Drawn = TypeVar("Drawn", bound=NDArray[Any])

# Given how often each of K patients was drawn in R resamples, (R, K), their figures (R, F).
Figures = Callable[[Floats], Floats]

# Every so many runs have a random stream of their own, so that the result depends on the seed and not on the threads.
RUNS_PER_STREAM = 50
# Numbers that a thread works on at once: few enough for a core's own cache, enough to make a call worth its while.
NUMBERS_AT_ONCE = 2**16
# Resamples are kept for the next attack up to so many counts of two bytes.
MOST_KEPT = 2**24


# Fewer patients than these show nothing of how far a figure varies over patients: every resample is of the same one.
FEWEST = 2


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; all NaN where the figure is undefined.

    Attributes:
        value: the figure on the data as they are.
        low: lower end; NaN where no honest one can be given.
        high: upper end, likewise; value need not lie between the ends, if resampling shifts the figure.
        why_unbounded: why a figure that is defined has no ends, in a few words; None where it has some.
    """

    value: float
    low: float
    high: float
    why_unbounded: str | None = None


def too_few(value: float, patients: int) -> Interval:
    """A figure of so few patients that it has no interval.

    Args:
        value: the figure; NaN where it is undefined, which needs no reason.
        patients: how many.
    """
    whom = "one patient is" if patients == 1 else f"{patients} patients are"
    return Interval(value, float("nan"), float("nan"), None if np.isnan(value) else f"{whom} too few for an interval")


def bootstrap_mean_patients(
    values: ArrayLike,
    patients: ArrayLike,
    *,
    each: Literal["image", "patient"] = "image",
    share: bool = False,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of per-image figures (AP@R, accepted pairs, differences of either), resampling the patients they belong to.

    The gallery of a query is fixed; only the querying patients are resampled. For the drop between two defenses on
    the same queries, pass the differences.

    Args:
        values: (Q,); NaN marks an image without a figure, which is left out.
        patients: (Q,) whole numbers or text.
        each: what counts once: an ``image``, or a ``patient`` with the mean of its images.
        share: the values say whether somebody was found, 0 or 1 or the probability of it, and the mean is a share:
            its interval is never narrower at 0 and at 1 than so many patients allow, see `guarded_share`. With `each`
            ``image`` patients weigh by their images, and count as :func:`effective_number` says.
        runs: resamples.
        seed: of the resampling; the same seed gives the same interval.
        level: coverage aimed at, in (0, 1).

    Returns:
        The mean with its percentile interval; NaN without any value, and without ends if they are of one patient, whose
        share alone is bounded.

    Raises:
        ValueError: lengths differ, a value of a share is out of [0, 1], or ``runs`` or ``level`` is out of range.
    """
    figures = np.asarray(values, dtype=np.float64)
    (patient,), _ = codes(patients)
    if figures.shape != patient.shape:
        raise ValueError(f"values have shape {figures.shape}, patients {patient.shape}")
    known = ~np.isnan(figures)
    figures, patient = figures[known], np.unique(patient[known], return_inverse=True)[1]
    if share and ((figures < 0) | (figures > 1)).any():
        raise ValueError("values of a share lie in [0, 1]")
    images = np.bincount(patient).astype(np.float64)
    sums = np.bincount(patient, weights=figures).astype(np.float64)
    if each == "patient":
        sums, images = sums / images, np.ones(len(images))

    def means(counts: Floats) -> Floats:
        # Sums of products without BLAS, which would bring threads of its own.
        totals = np.einsum("rk,kf->rf", counts, np.stack([sums, images], axis=1))
        return totals[:, :1] / totals[:, 1:]

    if not len(images):
        checked(runs, level)
        return Interval(float("nan"), float("nan"), float("nan"))
    if len(images) < FEWEST and not share:
        checked(runs, level)
        return too_few(float(figures.mean()), len(images))
    draws = over_patients(means, len(images), runs, seed, width=len(images))
    found = percentile_interval(float(sums.sum() / images.sum()), draws[:, 0], level)
    return guarded_share(found, effective_number(images), level) if share else found


def effective_number(weights: ArrayLike) -> float:
    """How many patients of equal weight tell as much as these do: (sum w)^2 / sum w^2.

    Kish, "Survey Sampling" (1965): the variance of a weighted mean of independent values is theirs, divided by this
    number. Equal weights give the number of patients; one patient with nearly all the weight gives hardly more than 1.

    Args:
        weights: (K,) what each patient weighs in a share, from 0 on: its probes in Precision@1, its genuine pairs in a
            true positive rate, 1 in a share of patients.

    Returns:
        From 1 to the number of patients with any weight; 0 where there is none.

    Raises:
        ValueError: a weight is negative.
    """
    given = np.asarray(weights, dtype=np.float64)
    if (given < 0).any():
        raise ValueError("weights are from 0 on")
    return float(given.sum() ** 2 / (given**2).sum()) if given.any() else 0.0


def guarded_share(found: Interval, patients: float, level: float) -> Interval:
    """The interval of a share, no narrower at 0 and at 1 than so many patients allow.

    A resample holds no patient that the data do not hold. Where none of n was found, none is in any resample, and the
    percentiles say [0, 0], as if no patient could ever be found. Wilson's interval ("Probable inference, the law of
    succession, and statistical inference", J. Am. Stat. Assoc. 1927) goes up to z^2 / (n + z^2) there, and covers near
    0 and 1 where others fail (Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical
    Science 2001). The wider of the two is taken at either side: the upper end is never below that of 0 of n, the lower
    one never above that of n of n. So the interval does not leap as the first patient is found, and one found of n
    never ends lower than none found; in the middle the percentiles stay as they are, unless patients are few. n counts
    patients. Where some weigh more than others, since the share is one of images or of pairs, it is their effective
    number: a hundred patients of whom one has nearly all pairs tell little more than that one does.

    Args:
        found: the share in [0, 1] with its percentile interval.
        patients: n, who can be found, by their :func:`effective_number`; it need be no whole number.
        level: coverage aimed at, in (0, 1).
    """
    if np.isnan(found.low) or not patients:
        return found
    none, every = (wilson_interval(of, patients, level=level) for of in (0, patients))
    return Interval(found.value, min(found.low, every.low), max(found.high, none.high))


def expanded_level(level: float, patients: float) -> float:
    """The level at which percentiles of resamples of few patients cover as often as asked for.

    Resamples of n patients vary by (n - 1) / n of what the figure varies, and that spread is uncertain: percentiles
    cover as an interval of normal deviations does in place of one of Student's t. Hesterberg ("What teachers should
    know about the bootstrap", The American Statistician 2015) calls those at the wider level expanded.

    Args:
        level: coverage aimed at, in (0, 1).
        patients: n, by their :func:`effective_number`; below 2 the level stays as it is.
    """
    if patients < 2:
        return level
    from scipy.special import stdtrit  # Tables of boards start without it.

    deviations = sqrt(patients / (patients - 1)) * float(stdtrit(patients - 1, (1 + level) / 2))
    return min(2 * NormalDist().cdf(deviations) - 1, 1 - 1e-9)


def guarded_graded(found: Interval, patients: float, level: float) -> Interval:
    """The interval of a graded figure in [0, 1] whose resamples reach an end, such as the AUC at perfect separation.

    Where no genuine pair scores below an impostor pair, none does in any resample, and the percentiles say [1, 1], as
    if no pair ever could. What patients who were not drawn would add is unknown then, and bounded as the share of them
    who might all lie at the other end: Wilson's interval of n of n patients. Graded figures vary much less than shares
    elsewhere, and keep their percentiles as soon as fewer than (1 - level) / 2 of the resamples reach the end, which
    takes about four patients with a misplaced pair at 95 %: from there on resampling shows how far the figure may move.
    At 0 likewise.

    Args:
        found: the figure with its interval.
        patients: n, whom it is of, by their :func:`effective_number`.
        level: coverage aimed at, in (0, 1).
    """
    if np.isnan(found.low) or not patients:
        return found
    low, high = found.low, found.high
    if found.high >= 1:
        low = min(low, wilson_interval(patients, patients, level=level).low)
    if found.low <= 0:
        high = max(high, wilson_interval(0, patients, level=level).high)
    return Interval(found.value, low, high, found.why_unbounded)


def guarded_difference(found: Interval, less: Interval, of: Interval) -> Interval:
    """The interval of a difference, where one of its two figures has resamples that reach an end.

    There, none of those resamples shows how far that figure may lie from the end, and neither does a difference in
    them: an AUC of 1 that may be 0.87 with other patients, less one that is known to be 0.97, is not known to be above
    0. The end of the difference is as far off as that figure's own, which `guarded_graded` bounds.

    Args:
        found: ``of`` less ``less``, with its paired interval.
        less: the figure that is taken off, in [0, 1], with its guarded interval; without ends where its percentiles
            are wider than the guard, since resamples show how far it moves then.
        of: the figure that it is taken off from, likewise.

    Returns:
        The difference, with an interval no narrower than the one given.
    """
    low, high = found.low, found.high
    if of.high >= 1:
        low = min(low, found.value - (of.value - of.low))
    if of.low <= 0:
        high = max(high, found.value + (of.high - of.value))
    if less.high >= 1:
        high = max(high, found.value + (less.value - less.low))
    if less.low <= 0:
        low = min(low, found.value - (less.high - less.value))
    return Interval(found.value, low, high, found.why_unbounded)


def where_guarded(bare: Interval, guarded: Interval) -> Interval:
    """The guarded interval of a figure, for `guarded_difference`; without ends where the guard changes neither."""
    changed = (bare.low, bare.high) != (guarded.low, guarded.high)
    return guarded if changed else Interval(guarded.value, float("nan"), float("nan"))


def wilson_interval(found: float, of: float, *, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (1927), which takes every trial for independent.

    Args:
        found: how many of them.
        of: how many there are; an effective number need be no whole one.
        level: coverage aimed at, in (0, 1).

    Returns:
        The share; NaN of none.

    Raises:
        ValueError: ``found`` is out of 0..``of``, or ``level`` out of (0, 1).
    """
    checked(1, level)
    if not 0 <= found <= of:
        raise ValueError(f"{found} of {of} is not a share")
    if not of:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, z = found / of, NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    # Rounding must not keep the ends off 0 and 1, where the formula lands exactly.
    return Interval(share, 0.0 if found == 0 else middle - half, 1.0 if found == of else middle + half)


def percentile_interval(value: float, draws: Floats, level: float) -> Interval:
    """The middle ``level`` of resampled figures.

    Args:
        value: the figure itself.
        draws: resampled figures (runs,); NaN ones, of resamples in which the figure is undefined, are left out.
        level: coverage aimed at, in (0, 1).
    """
    checked(len(draws), level)
    defined = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(defined):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def resample(draw: Callable[[np.random.Generator, int], Drawn], runs: int, seed: int) -> Drawn:
    """All resampled figures (runs, figures), from as many threads as there are cores, the same for any number of them.

    Args:
        draw: gives some runs' figures; called from several threads at once, so it should leave BLAS alone, which brings
            threads of its own.
        runs: how many in all.
        seed: of the random streams.

    Raises:
        ValueError: ``runs`` is below 1.
    """
    checked(runs, 0.5)
    drawn: Any = np.concatenate(over_threads(lambda part: draw(*part), _streams(runs, seed)))
    return cast(Drawn, drawn)


def _streams(runs: int, seed: int) -> list[tuple[np.random.Generator, int]]:
    """A random stream for every few runs, with their number."""
    sizes = [min(RUNS_PER_STREAM, runs - start) for start in range(0, runs, RUNS_PER_STREAM)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    return [(np.random.Generator(np.random.SFC64(each)), size) for each, size in zip(seeds, sizes)]


def over_patients(figures: Figures, patients: int, runs: int, seed: int, *, width: int) -> Floats:
    """Figures on resamples of patients (runs, F): K of K patients drawn with replacement, each with all that is its.

    The resamples depend on K, the number of runs and the seed alone, so figures of several attacks are paired.

    Args:
        figures: from how often each patient was drawn in R resamples, (R, K), to R rows of figures (R, F); called from
            several threads at once.
        patients: K.
        runs: how many resamples in all.
        seed: of the drawing.
        width: how many numbers ``figures`` works on in one resample; with fewer of them it gets more at once.
    """
    at_once = max(1, NUMBERS_AT_ONCE // max(width, 1))
    if patients * runs <= MOST_KEPT:
        counts = _kept_counts(patients, runs, seed)
        parts = [counts[start : start + at_once] for start in range(0, runs, at_once)]
        return np.concatenate(over_threads(lambda part: figures(part.astype(np.float64)), parts))
    return resample(lambda rng, count: _in_parts(figures, _counts(rng, patients, count), at_once), runs, seed)


def _in_parts(figures: Figures, counts: NDArray[np.uint16], at_once: int) -> Floats:
    starts = range(0, len(counts), at_once)
    return np.concatenate([figures(counts[start : start + at_once].astype(np.float64)) for start in starts])


def over_patients_in_columns(
    figures: Callable[[NDArray[np.uint16]], Floats], patients: int, runs: int, seed: int, *, columns: int
) -> Floats:
    """The same figures on the same resamples, which are given a column each.

    Args:
        figures: from how often each patient was drawn in R resamples, (K, R), to R rows of figures (R, F); called from
            several threads at once.
        patients: K.
        runs: how many resamples in all; times K no more than :data:`MOST_KEPT`.
        seed: of the drawing.
        columns: R, of the last call fewer.
    """
    counts = _kept_columns(patients, runs, seed)
    parts = [counts[:, start : start + columns] for start in range(0, runs, columns)]
    return np.concatenate(over_threads(figures, parts))


@lru_cache(maxsize=2)
def _kept_columns(patients: int, runs: int, seed: int) -> NDArray[np.uint16]:
    return np.ascontiguousarray(_kept_counts(patients, runs, seed).T)


# Every attack on the same images asks for the same resamples.
@lru_cache(maxsize=2)
def _kept_counts(patients: int, runs: int, seed: int) -> NDArray[np.uint16]:
    return np.concatenate(over_threads(lambda part: _counts(part[0], patients, part[1]), _streams(runs, seed)))


def _counts(rng: np.random.Generator, patients: int, count: int) -> NDArray[np.uint16]:
    """How often each of K patients is drawn when K are drawn with replacement, in so many resamples (count, K)."""
    drawn = rng.integers(0, patients, (count, patients)) + np.arange(count)[:, None] * patients
    # A patient is drawn more than 65,535 times in no resample that anybody will see.
    return np.bincount(drawn.ravel(), minlength=count * patients).reshape(count, patients).astype(np.uint16)


def check_pairs(first: Indices, second: Indices, same: np.ndarray) -> None:
    """Refuses patients of pairs that are not what ``same`` says of them.

    Raises:
        ValueError: lengths differ, or ``same`` contradicts the patients.
    """
    if not first.shape == second.shape == same.shape:
        raise ValueError(f"{len(same)} pairs need as many patients on each side, not {len(first)} and {len(second)}")
    if ((first == second) != same).any():
        raise ValueError("same contradicts the patients of the pairs")


def checked(runs: int, level: float) -> None:
    """Refuses what cannot be resampled.

    Raises:
        ValueError: ``runs`` below 1, or ``level`` out of (0, 1).
    """
    if runs < 1:
        raise ValueError(f"a bootstrap needs at least one run, not {runs}")
    if not 0 < level < 1:
        raise ValueError(f"level lies between 0 and 1, not at {level}")
