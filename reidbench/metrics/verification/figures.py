"""How well scores tell pairs of one patient (genuine) from pairs of two (impostor).

Scores are any numbers, higher = more alike. A figure that the pairs cannot give, because there is none or all are of
one kind, is NaN, never 0; `why_undefined` says why in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.validation import Floats, binary, scored_pairs
from reidbench.metrics.verification.curve import Ranking


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Points of a ROC curve, from (0, 0) to (1, 1), one for each distinct score; NaN where a rate is undefined.

    Attributes:
        fpr: false positive rates, rising (G + 1,).
        tpr: true positive rates, rising (G + 1,).
        thresholds: falling (G + 1,), the first +inf; a pair is accepted if its score is at least the threshold.
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats


@dataclass(frozen=True)
class ThresholdMetrics:
    """What one threshold decides; "positive" = accepted as of one patient. NaN where a denominator is zero.

    Attributes:
        threshold: pairs at or above it are accepted.
        accuracy: share of right decisions.
        specificity: share of impostor pairs refused.
        recall: share of genuine pairs accepted.
        precision: share of genuine pairs among the accepted.
        f1: 2 tp / (2 tp + fp + fn); NaN where there is no genuine pair.
        true_positives: genuine pairs accepted.
        false_positives: impostor pairs accepted.
        true_negatives: impostor pairs refused.
        false_negatives: genuine pairs refused.
    """

    threshold: float
    accuracy: float
    specificity: float
    recall: float
    precision: float
    f1: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


def why_undefined(same: ArrayLike) -> str | None:
    """Why the figures of these pairs are NaN, in a few words; None if they are defined.

    Args:
        same: (P,) booleans.
    """
    flags = binary(same, "same")
    if flags.size == 0:
        return "no pairs"
    if not flags.any():
        return "no pair of one patient"
    if flags.all():
        return "no pair of two patients"
    return None


def roc_auc(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1]: the Mann-Whitney statistic, a tie counting one half.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.

    Returns:
        The area; NaN if either kind of pair is missing.

    Raises:
        ValueError: shapes differ or a score is NaN.
    """
    return float(Ranking.of(scores, same).unweighted().auc())


def roc_curve(scores: ArrayLike, same: ArrayLike) -> RocCurve:
    """Every point of the ROC curve; tied pairs are accepted together.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.

    Raises:
        ValueError: shapes differ or a score is NaN.
    """
    ranking = Ranking.of(scores, same)
    return RocCurve(
        fpr=_rates(np.append(0, ranking.impostor_within), len(ranking.impostor)),
        tpr=_rates(np.append(0, ranking.genuine_within), len(ranking.genuine)),
        thresholds=np.append(np.inf, ranking.thresholds),
    )


def equal_error_rate(scores: ArrayLike, same: ArrayLike) -> float:
    """The error rate at which false positives and false negatives are equally frequent, in [0, 1].

    Between neighbouring points of the ROC curve it is found on the straight line; all scores equal gives 0.5.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.

    Returns:
        The rate; NaN if either kind of pair is missing.

    Raises:
        ValueError: shapes differ or a score is NaN.
    """
    return float(Ranking.of(scores, same).unweighted().eer())


def tpr_at_fpr(scores: ArrayLike, same: ArrayLike, fpr: float) -> float:
    """Share of genuine pairs found while at most a share ``fpr`` of impostor pairs is accepted.

    Without ties between the kinds this is the step that Carlini et al. (2022, "Membership inference attacks from first
    principles") report: the highest true positive rate of any threshold whose false positive rate is at most ``fpr``;
    with fewer than 1 / ``fpr`` impostor pairs, none of them may be accepted. Where tied scores straddle the budget, as
    many of them are accepted, in random order, as it allows, and the expectation is given: a straight line between two
    points of the curve. A constant score thus gives exactly ``fpr``, the chance level, and not 0.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.
        fpr: the budget, in [0, 1].

    Returns:
        The rate in [0, 1]; NaN if either kind of pair is missing.

    Raises:
        ValueError: shapes differ, a score is NaN, or ``fpr`` is out of [0, 1].
    """
    return float(Ranking.of(scores, same).unweighted().tpr_at(checked_rate(fpr)))


def threshold_at_fpr(scores: ArrayLike, same: ArrayLike, fpr: float) -> float:
    """The lowest score that, as a threshold, accepts at most a share ``fpr`` of the impostor pairs.

    To be chosen on validation pairs and used on test pairs. Tied pairs stand or fall together, so the rate is never
    exceeded on the pairs it was chosen on.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans; only the impostor pairs' rate counts, but any score may become the threshold.
        fpr: the budget, in [0, 1].

    Returns:
        The threshold (accept if score >= threshold); +inf if even the highest score accepts too many; NaN if there is
        no impostor pair.

    Raises:
        ValueError: shapes differ, a score is NaN, or ``fpr`` is out of [0, 1].
    """
    checked_rate(fpr)
    ranking = Ranking.of(scores, same)
    if not len(ranking.impostor):
        return float("nan")
    last = int(ranking.unweighted().last_within(fpr))
    return float(ranking.thresholds[last]) if last >= 0 else float("inf")


def threshold_metrics(probabilities: ArrayLike, same: ArrayLike, threshold: float = 0.5) -> ThresholdMetrics:
    """Accuracy, specificity, recall, precision, F1 and the confusion counts at one threshold.

    Args:
        probabilities: (P,) scores on the threshold's scale.
        same: (P,) booleans.
        threshold: a pair is accepted if its score is at least this; +inf accepts none.

    Raises:
        ValueError: shapes differ, or a score or the threshold is NaN.
    """
    values, flags = scored_pairs(probabilities, same)
    if np.isnan(threshold):
        raise ValueError("threshold is NaN: there was nothing to calibrate it on")
    accepted = values >= threshold
    tp, fp = int((accepted & flags).sum()), int((accepted & ~flags).sum())
    fn, tn = int(flags.sum()) - tp, int((~flags).sum()) - fp
    return ThresholdMetrics(
        threshold=float(threshold),
        accuracy=_ratio(tp + tn, len(values)),
        specificity=_ratio(tn, tn + fp),
        recall=_ratio(tp, tp + fn),
        precision=_ratio(tp, tp + fp),
        f1=_ratio(2 * tp, 2 * tp + fp + fn) if tp + fn else float("nan"),
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
    )


def checked_rate(fpr: float) -> float:
    """The rate itself if it lies in [0, 1].

    Raises:
        ValueError: it does not, or is NaN.
    """
    if not 0 <= fpr <= 1:
        raise ValueError(f"a false positive rate lies in [0, 1], not {fpr}")
    return fpr


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _rates(counts: np.ndarray[tuple[int], np.dtype[np.intp]], whole: int) -> Floats:
    return counts / whole if whole else np.full(len(counts), np.nan)
