"""The strongest attack of a task: the one that a record's headline is of."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, RetrievalMetrics, VerificationMetrics

#: With fewer impostor pairs an attack is left out of the worst case; a false positive rate of 1 % needs as many.
ENOUGH_PAIRS = 100


def headline(attack: Attack) -> Interval:
    """AUC of a verification attack, mAP@R of a retrieval attack averaged over patients."""
    return attack.metrics.auc if isinstance(attack.metrics, VerificationMetrics) else attack.metrics.map_at_r_patients


def strongest_verification(attacks: Iterable[Attack], negatives: str | None = None) -> Attack | None:
    """The attack with the highest AUC; only among pairs with these negatives if they are named. None if undefined.

    Attacks on fewer than :data:`ENOUGH_PAIRS` impostor pairs are left out if there are others: among dozens of attacks,
    one on so few pairs would have the highest figure by chance.
    """
    judged = [
        (attack, figures)
        for attack in attacks
        if isinstance(figures := attack.metrics, VerificationMetrics) and negatives in (None, attack.negatives)
    ]
    many = [one for one in judged if one[1].impostor >= ENOUGH_PAIRS]
    return _highest((attack, figures.auc.value) for attack, figures in many or judged)


def strongest_retrieval(attacks: Iterable[Attack]) -> Attack | None:
    """The attack with the highest mAP@R, averaged over patients; None if undefined."""
    return _highest(
        (attack, figures.map_at_r_patients.value)
        for attack in attacks
        if isinstance(figures := attack.metrics, RetrievalMetrics)
    )


def _highest(candidates: Iterable[tuple[Attack, float | None]]) -> Attack | None:
    """The first of the highest."""
    highest, found = -inf, None
    for attack, value in candidates:
        if value is not None and value > highest:
            highest, found = value, attack
    return found
