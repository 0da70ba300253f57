"""How well a classifier tells findings: one AUC a label, and their mean, the macro AUC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.intervals import Interval, checked, over_patients, percentile_interval
from reidbench.metrics.validation import Bools, Floats, Indices, binary, codes, score_vector
from reidbench.metrics.verification.curve import Curve, Ranking


@dataclass(frozen=True, eq=False)
class LabelAucs:
    """The AUC of each of L labels.

    Attributes:
        auc: (L,), NaN where a label is present in all images or in none; over the images where it is known.
        positives: images with the finding (L,).
        negatives: images known to be without it (L,).
        macro: mean over the admitted labels that have an AUC; NaN if none has.
    """

    auc: Floats
    positives: Indices
    negatives: Indices
    macro: float


@dataclass(frozen=True)
class MacroAuc:
    """Macro and single AUCs with intervals, all from the same resamples of patients.

    Attributes:
        macro: mean over the admitted labels that have an AUC.
        labels: one interval a label, NaN where it has no AUC.
    """

    macro: Interval
    labels: tuple[Interval, ...]


def label_patients(findings: ArrayLike, patients: ArrayLike) -> Indices:
    """How many patients decide the AUC of each label (L,): the fewer of those with it and of those without.

    A patient has a finding if one of the images shows it, and is without it if one is known not to: of one whose images
    differ, both are true.

    Args:
        findings: (N, L) booleans, or 0 and 1, NaN where unknown.
        patients: (N,) whole numbers or text.

    Raises:
        ValueError: shapes differ, or a finding is neither 0 nor 1 nor NaN.
    """
    flags, known = _known(findings)
    named = np.asarray(patients)
    if flags.ndim != 2 or len(named) != len(flags):
        raise ValueError(f"findings must be (images, labels) of as many patients, not {flags.shape}, {named.shape}")
    (patient,), count = codes(named)
    sides = np.zeros((2, count, flags.shape[1]), dtype=np.bool_)
    for side, shown in enumerate((flags & known, ~flags & known)):
        np.logical_or.at(sides[side], patient, shown)
    fewer: Indices = sides.sum(axis=1).min(axis=0)
    return fewer


def label_aucs(scores: ArrayLike, findings: ArrayLike, *, admitted: ArrayLike | None = None) -> LabelAucs:
    """AUC of each label over the images where it is known, ties counting one half.

    Args:
        scores: (N, L), higher = the finding is more likely.
        findings: (N, L) booleans, or 0 and 1, NaN where unknown.
        admitted: (L,) booleans, the labels that count in the mean; None for all.

    Raises:
        ValueError: shapes differ, a score is NaN, or a finding is neither 0 nor 1 nor NaN.
    """
    values, flags, known = _checked(scores, findings)
    counted = _admitted(admitted, values.shape[1])
    auc = np.array([ranking.unweighted().auc() for ranking, _ in _rankings(values, flags, known)], dtype=np.float64)
    positives = (flags & known).sum(axis=0)
    return LabelAucs(auc, positives, known.sum(axis=0) - positives, _mean(auc[counted]))


def bootstrap_macro_auc_patients(
    scores: ArrayLike,
    findings: ArrayLike,
    patients: ArrayLike,
    *,
    admitted: ArrayLike | None = None,
    runs: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> MacroAuc:
    """Macro AUC with a percentile interval from resampling patients, each with all its images.

    Each label's AUC is over the images where it is known. A label that a resample leaves with one class is left out of
    that resample's mean. Images of which no finding is known are left out, and patients who have no other.

    Args:
        scores: (N, L), higher = the finding is more likely.
        findings: (N, L) booleans, or 0 and 1, NaN where unknown.
        patients: (N,) whole numbers or text.
        admitted: (L,) booleans, the labels that count in the mean; None for all. One set for the figure and its
            resamples: a label that few patients decide would dominate the spread, and drop out of some resamples.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Raises:
        ValueError: shapes differ, a score is NaN, a finding is neither 0 nor 1 nor NaN, or ``runs`` or ``level`` is out
            of range.
    """
    checked(runs, level)
    sample = _Sample.of(scores, findings, patients, admitted)
    found = sample.unweighted()

    draws = np.full((runs, len(found)), np.nan)
    if sample.patients:
        draws = over_patients(sample.aucs, sample.patients, runs, seed, width=sample.width)
    *labels, macro = (percentile_interval(float(value), draws[:, i], level) for i, value in enumerate(found))
    return MacroAuc(macro, tuple(labels))


def bootstrap_macro_auc_drop_patients(
    before: ArrayLike,
    after: ArrayLike,
    findings: ArrayLike,
    patients: ArrayLike,
    *,
    admitted: ArrayLike | None = None,
    runs: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Fall of the macro AUC between two classifiers' scores of the same images, paired.

    Each resample of patients weighs both scores of an image alike, so what they share cancels: the interval is that of
    the difference.

    Args:
        before: (N, L), higher = the finding is more likely.
        after: (N, L) of the same images.
        findings: (N, L) booleans, or 0 and 1, NaN where unknown; of both.
        patients: (N,) whole numbers or text.
        admitted: (L,) booleans, the labels that count in the mean; None for all. One set for the figure and its
            resamples: a label that few patients decide would dominate the spread, and drop out of some resamples.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        Macro AUC before less macro AUC after, and its interval; NaN if no label has an AUC.

    Raises:
        ValueError: as `bootstrap_macro_auc_patients`.
    """
    checked(runs, level)
    one, other = (_Sample.of(scores, findings, patients, admitted) for scores in (before, after))
    value = float(one.unweighted()[-1] - other.unweighted()[-1])
    if np.isnan(value):
        return Interval(value, value, value)

    def falls(counts: Floats) -> Floats:
        return (one.aucs(counts) - other.aucs(counts))[:, -1:]

    draws = over_patients(falls, one.patients, runs, seed, width=one.width)
    return percentile_interval(value, draws[:, 0], level)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Scored images in order, label by label, with the patients of those with the finding and of those without."""

    rankings: list[Ranking]
    owners: list[tuple[Indices, Indices]]
    patients: int
    admitted: Bools

    @classmethod
    def of(cls, scores: ArrayLike, findings: ArrayLike, patients: ArrayLike, admitted: ArrayLike | None) -> _Sample:
        values, flags, known = _checked(scores, findings)
        named = np.asarray(patients)
        if len(named) != len(flags):
            raise ValueError(f"{len(flags)} images need as many patients, not {len(named)}")
        told = known.any(axis=1)
        (patient,), count = codes(named[told])
        found = _rankings(values[told], flags[told], known[told])
        return cls(
            [ranking for ranking, _ in found],
            [(patient[rows[ranking.genuine]], patient[rows[ranking.impostor]]) for ranking, rows in found],
            count,
            _admitted(admitted, values.shape[1]),
        )

    @property
    def width(self) -> int:
        """Images of a label, at the most."""
        return max((len(ranking.genuine) + len(ranking.impostor) for ranking in self.rankings), default=0)

    def unweighted(self) -> Floats:
        """The AUC of each label and, last, the mean of those admitted (L + 1,)."""
        found: Floats = self.aucs(np.ones((1, self.patients)))[0]
        return found

    def aucs(self, counts: Floats) -> Floats:
        """The same with every patient counted so many times, (R, K) to (R, L + 1)."""
        labels = [
            Curve(ranking, counts.take(with_it, axis=-1), counts.take(without, axis=-1)).auc()
            for ranking, (with_it, without) in zip(self.rankings, self.owners)
        ]
        found = np.stack(labels, axis=1) if labels else np.empty((len(counts), 0))
        return np.column_stack([found, [_mean(row) for row in found[:, self.admitted]]])


def _checked(scores: ArrayLike, findings: ArrayLike) -> tuple[Floats, Bools, Bools]:
    """Scores, whether each image has each finding, and whether that is known, (N, L) each."""
    values = np.asarray(scores, dtype=np.float64)
    flags, known = _known(findings)
    if values.ndim != 2 or values.shape != flags.shape:
        raise ValueError(f"scores and findings must both be (images, labels), not {values.shape} and {flags.shape}")
    score_vector(values.ravel())
    return values, flags, known


def _known(findings: ArrayLike) -> tuple[Bools, Bools]:
    """Whether each image has each finding, and whether that is known."""
    given = np.asarray(findings)
    known = ~np.isnan(given) if given.dtype.kind == "f" else np.ones(given.shape, dtype=np.bool_)
    return binary(np.where(known, given, 0), "findings"), known


def _admitted(admitted: ArrayLike | None, labels: int) -> Bools:
    if admitted is None:
        return np.ones(labels, dtype=np.bool_)
    flags = np.asarray(admitted)
    if flags.shape != (labels,) or flags.dtype.kind != "b":
        raise ValueError(f"admitted must be {labels} booleans, one a label, not {flags.dtype} {flags.shape}")
    return flags


def _rankings(values: Floats, flags: Bools, known: Bools) -> list[tuple[Ranking, Indices]]:
    """Of each label the images where it is known in order, and their rows."""
    rows = [np.flatnonzero(column) for column in known.T]
    return [(Ranking.of(values[row, label], flags[row, label]), row) for label, row in enumerate(rows)]


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
