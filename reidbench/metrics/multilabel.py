"""How well a classifier tells findings: one AUC a label, and their mean, the macro AUC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.arrays import Bools, Floats, Indices, binary, codes
from reidbench.metrics.intervals import Interval, checked, patient_counts, percentile_interval, resample
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
    rankings, flags = _rankings(scores, findings)
    (patient,), count = codes(patients)
    if len(patient) != len(flags):
        raise ValueError(f"{len(flags)} images need as many patients, not {len(patient)}")
    found = label_aucs(scores, findings)
    owners = [(patient[ranking.genuine], patient[ranking.impostor]) for ranking in rankings]

    def draw(rng: np.random.Generator, times: int) -> Floats:
        resampled = np.empty((times, len(rankings) + 1))
        for run in range(times):
            counts = patient_counts(rng, count)
            for label, (ranking, (with_it, without)) in enumerate(zip(rankings, owners)):
                resampled[run, label] = Curve(ranking, counts[with_it], counts[without]).auc()
            resampled[run, -1] = _mean(resampled[run, :-1])
        return resampled

    draws = resample(draw, runs, seed) if count else np.full((runs, len(rankings) + 1), np.nan)
    *labels, macro = (
        percentile_interval(float(value), draws[:, i], level) for i, value in enumerate([*found.auc, found.macro])
    )
    return MacroAuc(macro, tuple(labels))


def _rankings(scores: ArrayLike, findings: ArrayLike) -> tuple[list[Ranking], Bools]:
    values, flags = np.asarray(scores, dtype=np.float64), binary(findings, "findings")
    if values.ndim != 2 or values.shape != flags.shape:
        raise ValueError(f"scores and findings must both be (images, labels), not {values.shape} and {flags.shape}")
    return [Ranking.of(values[:, label], flags[:, label]) for label in range(values.shape[1])], flags


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
