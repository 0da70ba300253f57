"""How well a classifier tells findings: one AUC a label, and their mean, the macro AUC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.arrays import Bools, Floats, Indices, binary, codes
from reidbench.metrics.intervals import Interval, checked, over_patients, percentile_interval
from reidbench.metrics.roc import Curve, Ranking


@dataclass(frozen=True, eq=False)
class LabelAucs:
    """The AUC of each of L labels.

    Attributes:
        auc: (L,), NaN where a label is present in all images or in none.
        positives: images with the finding (L,).
        negatives: images without it (L,).
        macro: mean over the labels that have an AUC; NaN if none has.
    """

    auc: Floats
    positives: Indices
    negatives: Indices
    macro: float


@dataclass(frozen=True)
class MacroAuc:
    """Macro and single AUCs with intervals, all from the same resamples of patients.

    Attributes:
        macro: mean over the labels that have an AUC.
        labels: one interval a label, NaN where it has no AUC.
    """

    macro: Interval
    labels: tuple[Interval, ...]


def label_aucs(scores: ArrayLike, findings: ArrayLike) -> LabelAucs:
    """AUC of each label, ties counting one half.

    Args:
        scores: (N, L), higher = the finding is more likely.
        findings: (N, L) booleans, or 0 and 1.

    Raises:
        ValueError: shapes differ, a score is NaN, or a finding is neither 0 nor 1.
    """
    rankings, flags = _rankings(scores, findings)
    auc = np.array([ranking.unweighted().auc() for ranking in rankings], dtype=np.float64)
    positives = flags.sum(axis=0)
    return LabelAucs(auc, positives, len(flags) - positives, _mean(auc))


def bootstrap_macro_auc_patients(
    scores: ArrayLike,
    findings: ArrayLike,
    patients: ArrayLike,
    *,
    runs: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> MacroAuc:
    """Macro AUC with a percentile interval from resampling patients, each with all its images.

    A label that a resample leaves with one class is left out of that resample's mean.

    Args:
        scores: (N, L), higher = the finding is more likely.
        findings: (N, L) booleans, or 0 and 1.
        patients: (N,) whole numbers or text.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Raises:
        ValueError: shapes differ, a score is NaN, a finding is neither 0 nor 1, or ``runs`` or ``level`` is out of
            range.
    """
    checked(runs, level)
    sample = _Sample.of(scores, findings, patients)
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
        findings: (N, L) booleans, or 0 and 1.
        patients: (N,) whole numbers or text.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        Macro AUC before less macro AUC after, and its interval; NaN if no label has an AUC.

    Raises:
        ValueError: as `bootstrap_macro_auc_patients`.
    """
    checked(runs, level)
    one, other = (_Sample.of(scores, findings, patients) for scores in (before, after))
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

    @classmethod
    def of(cls, scores: ArrayLike, findings: ArrayLike, patients: ArrayLike) -> _Sample:
        rankings, flags = _rankings(scores, findings)
        (patient,), count = codes(patients)
        if len(patient) != len(flags):
            raise ValueError(f"{len(flags)} images need as many patients, not {len(patient)}")
        return cls(rankings, [(patient[ranking.genuine], patient[ranking.impostor]) for ranking in rankings], count)

    @property
    def width(self) -> int:
        """Images of a label."""
        return len(self.rankings[0].genuine) + len(self.rankings[0].impostor) if self.rankings else 0

    def unweighted(self) -> Floats:
        """The AUC of each label and, last, their mean (L + 1,)."""
        found: Floats = self.aucs(np.ones((1, self.patients)))[0]
        return found

    def aucs(self, counts: Floats) -> Floats:
        """The same with every patient counted so many times, (R, K) to (R, L + 1)."""
        labels = [
            Curve(ranking, counts.take(with_it, axis=-1), counts.take(without, axis=-1)).auc()
            for ranking, (with_it, without) in zip(self.rankings, self.owners)
        ]
        found = np.stack(labels, axis=1) if labels else np.empty((len(counts), 0))
        return np.column_stack([found, [_mean(row) for row in found]])


def _rankings(scores: ArrayLike, findings: ArrayLike) -> tuple[list[Ranking], Bools]:
    values, flags = np.asarray(scores, dtype=np.float64), binary(findings, "findings")
    if values.ndim != 2 or values.shape != flags.shape:
        raise ValueError(f"scores and findings must both be (images, labels), not {values.shape} and {flags.shape}")
    return [Ranking.of(values[:, label], flags[:, label]) for label in range(values.shape[1])], flags


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
