"""How well a classifier tells findings: one AUC a label, and their mean, the macro AUC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.intervals import (
    FEWEST,
    Interval,
    checked,
    effective_number,
    expanded_level,
    guarded_difference,
    guarded_graded,
    over_patients,
    percentile_interval,
    too_few,
    where_guarded,
)
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
    guarded: bool = True,
) -> MacroAuc:
    """Macro AUC with a percentile interval from resampling patients, each with all its images.

    Percentiles are expanded for few patients (`expanded_level`), those of a label by the patients with the finding or
    by those without, whichever are fewer. Where resamples reach 0 or 1, the interval of a label is no narrower than
    `guarded_graded` allows, and that of the mean no narrower than the mean of what the labels are allowed.

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
        guarded: False gives bare percentiles, as records had them before.

    Returns:
        The figures; without ends where there are fewer than two patients.

    Raises:
        ValueError: shapes differ, a score is NaN, a finding is neither 0 nor 1 nor NaN, or ``runs`` or ``level`` is out
            of range.
    """
    checked(runs, level)
    sample = _Sample.of(scores, findings, patients, admitted)
    found = sample.unweighted()
    if sample.patients < FEWEST:
        *labels, macro = (too_few(float(value), sample.patients) for value in found)
        return MacroAuc(macro, tuple(labels))
    draws = over_patients(sample.aucs, sample.patients, runs, seed, width=sample.width)
    if not guarded:
        *labels, macro = (percentile_interval(float(value), draws[:, i], level) for i, value in enumerate(found))
        return MacroAuc(macro, tuple(labels))
    labels = [
        guarded_graded(
            percentile_interval(float(value), draws[:, i], expanded_level(level, effective)), effective, level
        )
        for i, (value, effective) in enumerate(zip(found, sample.deciding))
    ]
    return MacroAuc(sample.guarded_macro(sample.macro(float(found[-1]), draws[:, -1], level), level), tuple(labels))


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
    guarded: bool = True,
) -> Interval:
    """Fall of the macro AUC between two classifiers' scores of the same images, paired.

    Each resample of patients weighs both scores of an image alike, so what they share cancels: the interval is that of
    the difference. Percentiles are expanded for few patients, and where one of the figures is at 0 or 1
    `guarded_difference` bounds them.

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
        guarded: False gives bare percentiles, as records had them before.

    Returns:
        Macro AUC before less macro AUC after, and its interval; NaN if no label has an AUC.

    Raises:
        ValueError: as `bootstrap_macro_auc_patients`.
    """
    checked(runs, level)
    one, other = (_Sample.of(scores, findings, patients, admitted) for scores in (before, after))
    values = [float(sample.unweighted()[-1]) for sample in (one, other)]
    value = values[0] - values[1]
    if np.isnan(value):
        return Interval(value, value, value)
    if one.patients < FEWEST:
        return too_few(value, one.patients)

    def macros(counts: Floats) -> Floats:
        return np.stack([sample.aucs(counts)[:, -1] for sample in (one, other)], axis=1)

    draws = over_patients(macros, one.patients, runs, seed, width=one.width)
    fallen = draws[:, 0] - draws[:, 1]
    if not guarded:
        return percentile_interval(value, fallen, level)
    found = percentile_interval(value, fallen, expanded_level(level, one.effective_patients))
    if np.array_equal(before, after):
        return found  # Whoever else comes, equal scores differ by nothing.
    macros_alone = [sample.macro(values[i], draws[:, i], level) for i, sample in enumerate((one, other))]
    of, less = (where_guarded(one_macro, one.guarded_macro(one_macro, level)) for one_macro in macros_alone)
    return guarded_difference(found, less=less, of=of)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Scored images in order, label by label, with the patients of those with the finding and of those without."""

    rankings: list[Ranking]
    owners: list[tuple[Indices, Indices]]
    images: Indices
    admitted: Bools

    @property
    def patients(self) -> int:
        return len(self.images)

    @property
    def effective_patients(self) -> float:
        """Whom the images are of, by their effective number."""
        return effective_number(self.images)

    @property
    def deciding(self) -> list[float]:
        """Who decides the AUC of each label, by their effective number: those with it or without, whichever are fewer.

        0 where it has none.
        """
        return [min(effective_number(np.bincount(side)) for side in sides) for sides in self.owners]

    def macro(self, value: float, draws: Floats, level: float) -> Interval:
        """The mean with its percentiles, expanded by all patients."""
        return percentile_interval(value, draws, expanded_level(level, self.effective_patients))

    def guarded_macro(self, found: Interval, level: float) -> Interval:
        """The mean guarded by the mean of what its labels are allowed."""
        decided = [number for number, counts in zip(self.deciding, self.admitted) if counts and number]
        if np.isnan(found.low) or not decided:
            return found
        guards = [guarded_graded(found, number, level) for number in decided]
        low, high = (float(np.mean([getattr(guard, end) for guard in guards])) for end in ("low", "high"))
        return Interval(found.value, low, high)

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
            np.bincount(patient, minlength=count),
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
