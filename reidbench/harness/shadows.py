"""Membership attacks on a published model, and the audit of its epsilon, by other models of the same mechanism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from reidbench import metrics
from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.harness import record

Attack = Literal["loss", "lira"]
#: Shares of the candidates of whom an audit guesses: the surest guesses prove most, and there are fewest of them.
GUESSED = (1.0, 0.5, 0.1)
LEVEL = 0.95
LOW_FPR, HIGH_FPR = 0.01, 0.1
SEED = 20230515


class MembershipOptions(BaseModel):
    """The membership attacks' hyperparameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str] = "membership"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}, "standard": {"shadows": 16}, "paper": {"shadows": 16}}

    shadows: int = Field(
        4,
        ge=0,
        le=1024,
        description="models of the same mechanism to learn from; 0: no such attack, 3 and more: an audit by lira too",
    )


@dataclass(frozen=True, eq=False)
class Confidence:
    """How sure a model is of what each patient's images show.

    Attributes:
        loss: (P,) minus the mean loss.
        logit: (P,) the mean logit of the probability that it gives to all findings as they are: near normal.
    """

    loss: NDArray[np.float64]
    logit: NDArray[np.float64]


def coins(patients: int, shadow: int, seed: int) -> NDArray[np.bool_]:
    """Whom a shadow is trained on: (P,), a fair coin for each patient, whatever split they are of."""
    return np.random.default_rng([SEED, seed, shadow]).random(patients) < 0.5


def confidence(logits: NDArray[np.float32], cohort: Cohort) -> Confidence:
    """A model's confidence in each patient of a cohort.

    Args:
        logits: (N, L) of all images, in the table's order. Findings that are unknown have no say.
    """
    truth = cohort.frame[list(cohort.labels)].to_numpy(dtype=np.float64)
    patients = cohort.frame["patient"].to_numpy()
    known = ~np.isnan(truth)
    signs = np.where(known, 2 * np.nan_to_num(truth) - 1, 0)
    losses = np.logaddexp(0, -signs * logits.astype(np.float64)) * known
    total = losses.sum(axis=1)
    # log(p / (1 - p)) of p = exp(-total), which the form with a difference of logarithms would lose near 1.
    logit = -total - np.log(-np.expm1(-np.maximum(total, 1e-12)))
    images = np.maximum(np.bincount(patients), 1)
    mean = total / np.maximum(known.sum(axis=1), 1)
    return Confidence(-np.bincount(patients, mean) / images, np.bincount(patients, logit) / images)


def judge_membership(
    cohort: Cohort,
    published: Confidence,
    shadows: Sequence[Confidence],
    tossed: NDArray[np.bool_],
    *,
    delta: float,
    runs: int,
) -> record.Membership:
    """Tells the training patients from those held out, and audits the mechanism.

    Args:
        cohort: with all splits.
        published: confidence of the model that is attacked.
        shadows: that of each shadow, K of them, at least 1.
        tossed: (K, P) booleans, whom each was trained on.
        delta: of the claim, 0 where there is none.
        runs: bootstrap resamplings.
    """
    patients = cohort.frame["patient"].to_numpy()
    member = np.zeros(tossed.shape[1], dtype=np.bool_)
    member[patients[cohort.rows(SPLITS[0])]] = True
    judged = [_judge(attack, scores, member, runs) for attack, scores in _scores(published, shadows, tossed).items()]
    return record.Membership(
        members=int(member.sum()),
        others=int((~member).sum()),
        shadows=len(shadows),
        attacks=judged,
        audit=audit(shadows, tossed, delta=delta),
    )


def audit(shadows: Sequence[Confidence], tossed: NDArray[np.bool_], *, delta: float) -> record.EpsilonAudit:
    """The epsilon that the first shadow's guessed training patients prove; the other shadows teach the guessing.

    The published model's own patients were chosen by no coins, and prove nothing. All attacks and numbers of guesses
    are tried; each is held to its share of the 5 % chance of being wrong (Bonferroni).
    """
    target, candidates = tossed[0], tossed.shape[1]
    tried = _scores(shadows[0], shadows[1:], tossed[1:])
    level = 1 - (1 - LEVEL) / (len(tried) * len(GUESSED))
    found = []
    for attack, scores in tried.items():
        for share in GUESSED:
            guesses = metrics.guess_members(scores, int(share * candidates))
            made, right = int((guesses != 0).sum()), int(((guesses > 0) & target | (guesses < 0) & ~target).sum())
            lower = metrics.epsilon_lower_bound(right, made, candidates, delta=delta, level=level)
            found.append((lower, attack, made, right))
    lower, attack, made, right = max(found, key=lambda one: one[0])
    return record.EpsilonAudit(
        epsilon_lower=lower,
        level=LEVEL,
        delta=delta,
        candidates=candidates,
        attack=attack,
        guesses=made,
        correct=right,
    )


def _scores(
    target: Confidence, shadows: Sequence[Confidence], tossed: NDArray[np.bool_]
) -> dict[Attack, NDArray[np.float64]]:
    scores: dict[Attack, NDArray[np.float64]] = {"loss": target.loss}
    # A single shadow was trained on a patient or not, and tells nothing of the difference.
    if len(shadows) > 1:
        scores["lira"] = metrics.likelihood_ratios(target.logit, np.stack([s.logit for s in shadows]), tossed)
    return scores


def _judge(
    attack: Attack, scores: NDArray[np.float64], member: NDArray[np.bool_], runs: int
) -> record.MembershipAttack:
    found = metrics.bootstrap_membership(scores, member, fprs=(LOW_FPR, HIGH_FPR), runs=runs, seed=SEED)
    return record.MembershipAttack(
        attack=attack,
        auc=record.Interval.of(found.auc),
        tpr_at_fpr_1=record.Interval.of(found.tpr_at_fpr[LOW_FPR]),
        tpr_at_fpr_10=record.Interval.of(found.tpr_at_fpr[HIGH_FPR]),
    )
