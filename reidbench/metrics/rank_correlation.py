"""How alike two figures order the same subjects: Spearman's rank correlation, with an interval over the subjects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.intervals import Interval, percentile_interval, resample
from reidbench.metrics.validation import Floats

#: Fewer subjects than this have a correlation, but resamples of them say nothing of its spread.
ENOUGH_SUBJECTS = 5


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation ("The proof and measurement of association between two things", 1904).

    The correlation of the ranks; equal values share the mean of their ranks.

    Args:
        a: (N,) figures.
        b: (N,) figures of the same subjects.

    Returns:
        In [-1, 1]; NaN for fewer than two subjects, or where all values of one side are equal.

    Raises:
        ValueError: lengths differ, or a value is not finite.
    """
    first, second = _checked(a, b)
    return float(_of_rows(first[None], second[None])[0])


def bootstrap_spearman(
    a: ArrayLike, b: ArrayLike, *, runs: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The same with the percentile interval of resampled subjects; each comes with both of its figures.

    The interval is of the choice of subjects. What the figures themselves vary by is not resampled. Where both figures
    order all subjects alike, or oppositely, so does every resample, which tells nothing of others: there are no ends.

    Args:
        a: (N,) figures.
        b: (N,) figures of the same subjects.
        runs: resamples. Those in which all values of one side are equal are left out.
        seed: of the resampling; the same seed gives the same interval.
        level: coverage aimed at, in (0, 1).

    Returns:
        The correlation with its interval; without ends for fewer than :data:`ENOUGH_SUBJECTS` subjects, and at 1 and
        -1.

    Raises:
        ValueError: lengths differ, a value is not finite, or ``runs`` or ``level`` is out of range.
    """
    first, second = _checked(a, b)
    value = spearman(first, second)
    if len(first) < ENOUGH_SUBJECTS:
        reason = f"{len(first)} subjects are too few to resample"
        return Interval(value, float("nan"), float("nan"), None if np.isnan(value) else reason)
    if abs(value) > 1 - 1e-12:
        reason = "all subjects are ordered alike" if value > 0 else "all subjects are ordered oppositely"
        return Interval(value, float("nan"), float("nan"), f"{reason}, and so would be resamples of them")

    def draw(rng: np.random.Generator, count: int) -> Floats:
        drawn = rng.integers(0, len(first), (count, len(first)))
        return _of_rows(first[drawn], second[drawn])

    return percentile_interval(value, resample(draw, runs, seed), level)


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"two figures of each subject are needed, not {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a value is not finite")
    return first, second


def _of_rows(a: Floats, b: Floats) -> Floats:
    """(R,) correlations of the ranks of each row of (R, N)."""
    if a.shape[1] < 2:
        return np.full(len(a), np.nan)
    first, second = _centred_ranks(a), _centred_ranks(b)
    # Sums of products without BLAS, which would bring threads of its own.
    together = np.einsum("rn,rn->r", first, second)
    norms = np.sqrt(np.einsum("rn,rn->r", first, first) * np.einsum("rn,rn->r", second, second))
    return np.divide(together, norms, out=np.full(len(a), np.nan), where=norms > 0)


def _centred_ranks(values: Floats) -> Floats:
    """Ranks of each row's values less their mean; equal values share a rank."""
    below = np.array([np.searchsorted(row, of, side="left") for row, of in zip(np.sort(values, axis=1), values)])
    up_to = np.array([np.searchsorted(row, of, side="right") for row, of in zip(np.sort(values, axis=1), values)])
    # Ranks from 1 to N have a mean of (N + 1) / 2; halves are exact, so that equal ranks cancel to 0.
    return (below + up_to + 1) / 2 - (values.shape[1] + 1) / 2
