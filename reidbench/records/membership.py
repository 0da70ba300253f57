"""Membership attacks on a published model, and the audit of its epsilon, by other models of the same mechanism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from reidbench import metrics
from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.records.parts.common import Interval
from reidbench.records.parts.membership import (
    AuditTrial,
    DrawnMembership,
    EpsilonAudit,
    Membership,
    MembershipAttack,
    WithoutPrivacy,
)

#: What scores a patient by a model; what does so without one.
ByModel = Literal["loss", "lira"]
Attack = Literal["loss", "lira", "blind"]
#: Shares of the candidates of whom an audit guesses: the surest guesses prove most, and there are fewest of them.
GUESSED = (1.0, 0.5, 0.1)
LEVEL = 0.95
LOW_FPR, HIGH_FPR = 0.01, 0.1
SEED = 20230515
CANARIES = 20230517


MANY = {"shadows": 16, "canary_models": 8}


class MembershipOptions(BaseModel):
    """The membership attacks' hyperparameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str] = "membership"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}, "standard": MANY, "paper": MANY}

    shadows: int = Field(
        4,
        ge=0,
        le=1024,
        description="models of the same mechanism to attack and to learn from; 0: no such attack and no audit",
    )
    canaries: int = Field(
        400, ge=0, le=100_000, description="generated patients of an audit of epsilon; 0: an audit by the shadows' own"
    )
    canary_models: int = Field(
        2,
        ge=1,
        le=1024,
        description="models that are trained on half of the canaries each, and as many without privacy",
    )


@dataclass(frozen=True, eq=False)
class Confidence:
    """How sure a model is of what each patient's images show.

    Attributes:
        loss: (P,) minus the mean loss.
        logit: (P,) the mean logit of the probability that it gives to all findings as they are: near normal.

    Both are NaN for a patient of whom no finding is known: no loss is not a low one.
    """

    loss: NDArray[np.float64]
    logit: NDArray[np.float64]

    def of(self, patients: NDArray[np.bool_]) -> Confidence:
        """That in some of the patients, (P,) booleans."""
        return Confidence(self.loss[patients], self.logit[patients])


def coins(patients: int, shadow: int, seed: int, *, of: int = SEED) -> NDArray[np.bool_]:
    """Whom a shadow is trained on: (P,), a fair coin for each patient, whatever split they are of.

    Args:
        of: what the patients are: coins of :data:`CANARIES` are others than those of a cohort's patients.
    """
    return np.random.default_rng([of, seed, shadow]).random(patients) < 0.5


def confidence(logits: NDArray[np.float32], cohort: Cohort) -> Confidence:
    """A model's confidence in each patient of a cohort.

    Args:
        logits: (N, L) of all images, in the table's order. Findings that are unknown have no say, nor have images of
            which none is known.
    """
    truth = cohort.frame[list(cohort.labels)].to_numpy(dtype=np.float64)
    patients = cohort.frame["patient"].to_numpy()
    known = ~np.isnan(truth)
    signs = np.where(known, 2 * np.nan_to_num(truth) - 1, 0)
    losses = np.logaddexp(0, -signs * logits.astype(np.float64)) * known
    total = losses.sum(axis=1)
    # log(p / (1 - p)) of p = exp(-total), which the form with a difference of logarithms would lose near 1.
    logit = -total - np.log(-np.expm1(-np.maximum(total, 1e-12)))
    mean = total / np.maximum(known.sum(axis=1), 1)
    # An image without a known finding would have no loss, and look as surely learnt as any.
    told = known.any(axis=1)
    images = np.bincount(patients, told)
    images[images == 0] = np.nan
    return Confidence(
        -np.bincount(patients, np.where(told, mean, 0)) / images,
        np.bincount(patients, np.where(told, logit, 0)) / images,
    )


def blind_confidence(cohort: Cohort) -> Confidence:
    """The confidence of a predictor that knows how frequent each finding is in the cohort, and looks at no image.

    The frequencies are those of all splits, so that this depends on nobody's membership.
    """
    truth = cohort.frame[list(cohort.labels)].to_numpy(dtype=np.float64)
    known = ~np.isnan(truth)
    # One more of either kind (Laplace), for a finding that all have or none.
    share = (np.where(known, truth, 0).sum(axis=0) + 1) / (known.sum(axis=0) + 2)
    logits = np.broadcast_to(np.log(share / (1 - share)), truth.shape)
    return confidence(logits.astype(np.float32), cohort)


def judge_membership(
    cohort: Cohort,
    published: Confidence,
    shadows: Sequence[Confidence],
    tossed: NDArray[np.bool_],
    *,
    delta: float,
    runs: int,
    audited: EpsilonAudit | None = None,
) -> Membership:
    """Tells the training patients from those held out, and audits the mechanism.

    Patients of whom no finding is known give no evidence and are left out of both, members and others alike.

    Args:
        cohort: with all splits.
        published: confidence of the model that is attacked.
        shadows: that of each shadow, K of them, at least 1.
        tossed: (K, P) booleans, whom each was trained on.
        delta: of the claim, or :func:`unclaimed_delta`, in [0, 1].
        runs: bootstrap resamplings.
        audited: by canaries; None for an audit by the shadows.
    """
    patients = cohort.frame["patient"].to_numpy()
    member = np.zeros(tossed.shape[1], dtype=np.bool_)
    member[patients[cohort.rows(SPLITS[0])]] = True
    told = ~np.isnan(published.loss)
    blind = blind_confidence(cohort).loss[told]
    # Who they are follows from the labels alone, and from no coin: the others' coins are as fair as before.
    published, shadows = published.of(told), [shadow.of(told) for shadow in shadows]
    member, tossed = member[told], tossed[:, told]
    scored = _with_blind(_scores(published, shadows, tossed), blind)
    return Membership(
        members=int(member.sum()),
        others=int((~member).sum()),
        unknown=int((~told).sum()) or None,
        shadows=len(shadows),
        attacks=[_judge(attack, scores, member, runs) for attack, scores in scored.items()],
        drawn=_drawn(shadows, tossed, blind, runs),
        audit=audited or audit(shadows, tossed, delta=delta),
    )


def _drawn(
    models: Sequence[Confidence], tossed: NDArray[np.bool_], blind: NDArray[np.float64], runs: int
) -> DrawnMembership:
    """Each of the models is attacked in turn with the others as its shadows.

    Coins drew whom each was trained on: members and others have one distribution, which training patients and those of
    other splits need not have. The coins of a model are independent of those of the others, and of the blind score.
    """
    scored: dict[Attack, list[NDArray[np.float64]]] = {}
    for number, target in enumerate(models):
        others = [other for other in range(len(models)) if other != number]
        found = _scores(target, [models[other] for other in others], tossed[others])
        for attack, scores in _with_blind(found, blind).items():
            scored.setdefault(attack, []).append(scores)
    return DrawnMembership(
        targets=len(models),
        patients=tossed.shape[1],
        attacks=[_judge(attack, np.stack(scores), tossed, runs) for attack, scores in scored.items()],
    )


def audit(shadows: Sequence[Confidence], tossed: NDArray[np.bool_], *, delta: float) -> EpsilonAudit:
    """The epsilon that the first shadow's guessed training patients prove; the other shadows teach the guessing.

    The published model's own patients were chosen by no coins, and prove nothing. All attacks and numbers of guesses
    are tried; each is held to its share of the 5 % chance of being wrong (Bonferroni).
    """
    target, candidates = tossed[0], tossed.shape[1]
    trials = []
    for attack, scores in _scores(shadows[0], shadows[1:], tossed[1:]).items():
        for share in GUESSED:
            guesses = metrics.guess_members(scores, int(share * candidates))
            made, right = int((guesses != 0).sum()), int(((guesses > 0) & target | (guesses < 0) & ~target).sum())
            trials.append(AuditTrial(attack=attack, guesses=made, correct=right))
    return _audited(trials, candidates, delta)


def audit_by_canaries(
    models: Sequence[Confidence],
    plain: Sequence[Confidence],
    tossed: NDArray[np.bool_],
    *,
    delta: float,
) -> EpsilonAudit:
    """The epsilon that guesses at canaries prove, and what they prove of the same training without the defense.

    The guarantee holds for every training set, so that the audit may choose one whose patients are remembered best.
    Guesses at several models are added up: all trainings together are one mechanism, in which a canary of one of them
    is in no other (parallel composition), so that the theorem holds for it with all coins as its candidates.

    Args:
        models: confidence of each model in all C canaries, T of them, at least 1.
        plain: the same of the models without the defense; the same ones for a model that has none.
        tossed: (T, C) booleans, which canaries each was trained on, with or without the defense.
        delta: of the claim, or :func:`unclaimed_delta`, in [0, 1].
    """
    count, canaries = tossed.shape
    trials = _guess_canaries(models, tossed)
    found = _audited(trials, count * canaries, delta)
    without = trials if plain is models else _guess_canaries(plain, tossed)
    power = _audited(without, count * canaries, delta).epsilon_lower
    return found.model_copy(
        update={
            "canaries": canaries,
            "models": count,
            "without_privacy": WithoutPrivacy(epsilon_lower=power, trials=without),
        }
    )


def _guess_canaries(models: Sequence[Confidence], tossed: NDArray[np.bool_]) -> list[AuditTrial]:
    trials = []
    for share in GUESSED:
        made = right = 0
        for model, target in zip(models, tossed):
            guesses = metrics.guess_members(model.loss, int(share * len(target)))
            made += int((guesses != 0).sum())
            right += int(((guesses > 0) & target | (guesses < 0) & ~target).sum())
        trials.append(AuditTrial(attack="loss", guesses=made, correct=right))
    return trials


def _audited(trials: list[AuditTrial], candidates: int, delta: float) -> EpsilonAudit:
    level = _share(len(trials))
    found = [(_bound(trial.correct, trial.guesses, candidates, delta, level), trial) for trial in trials]
    lower, best = max(found, key=lambda one: one[0])
    return EpsilonAudit(
        epsilon_lower=lower,
        epsilon_most=max(_bound(trial.guesses, trial.guesses, candidates, delta, level) for trial in trials),
        level=LEVEL,
        delta=delta,
        candidates=candidates,
        attack=best.attack,
        guesses=best.guesses,
        correct=best.correct,
        trials=trials,
    )


def unclaimed_delta(members: int) -> float:
    """The delta that a model is audited at which claims nothing: a tenth of 1 / training patients.

    That is what defenses claim unless they are told otherwise, and at another delta the same guesses prove another
    epsilon: at 0 they prove more.

    Args:
        members: training patients, a public number.
    """
    return 0.1 / max(members, 1)


def proved_at(found: Membership, delta: float) -> tuple[float, float]:
    """The epsilon that an audit proves at another delta than its own, and the largest that it could have proved there.

    Args:
        found: as recorded. Of one that was recorded without its trials the best at its own delta is all that is known;
            the bound holds, and another trial might have proved more.
        delta: in [0, 1].
    """
    audit = found.audit
    trials = audit.trials
    if trials is None:
        attacks = 2 if found.shadows > 2 else 1
        tried = attacks * len(GUESSED)
        trials = [AuditTrial(attack=audit.attack, guesses=audit.guesses, correct=audit.correct)]
        possible = [int(share * audit.candidates) // 2 * 2 for share in GUESSED]
    else:
        tried, possible = len(trials), [trial.guesses for trial in trials]
    level = _share(tried, audit.level)
    lower = max(_bound(trial.correct, trial.guesses, audit.candidates, delta, level) for trial in trials)
    return lower, max(_bound(guesses, guesses, audit.candidates, delta, level) for guesses in possible)


def power_at(found: Membership, delta: float) -> float | None:
    """The epsilon that the same audit proves at a delta of the same training without privacy; None if not measured."""
    audit, without = found.audit, found.audit.without_privacy
    if without is None or not without.trials:
        return None
    level = _share(len(without.trials), audit.level)
    return max(_bound(one.correct, one.guesses, audit.candidates, delta, level) for one in without.trials)


def _share(trials: int, level: float = LEVEL) -> float:
    # Bonferroni: the trials share the chance of being wrong.
    return 1 - (1 - level) / trials


@cache
def _bound(correct: int, guesses: int, candidates: int, delta: float, level: float) -> float:
    return metrics.epsilon_lower_bound(correct, guesses, candidates, delta=delta, level=level)


def _scores(
    target: Confidence, shadows: Sequence[Confidence], tossed: NDArray[np.bool_]
) -> dict[ByModel, NDArray[np.float64]]:
    scores: dict[ByModel, NDArray[np.float64]] = {"loss": target.loss}
    # A single shadow was trained on a patient or not, and tells nothing of the difference.
    if len(shadows) > 1:
        scores["lira"] = metrics.likelihood_ratios(target.logit, np.stack([s.logit for s in shadows]), tossed)
    return scores


def _with_blind(
    scores: Mapping[ByModel, NDArray[np.float64]], blind: NDArray[np.float64]
) -> dict[Attack, NDArray[np.float64]]:
    found: dict[Attack, NDArray[np.float64]] = {"blind": blind}
    return {**dict(scores.items()), **found}


def _judge(attack: Attack, scores: NDArray[np.float64], member: NDArray[np.bool_], runs: int) -> MembershipAttack:
    found = metrics.bootstrap_membership(scores, member, fprs=(LOW_FPR, HIGH_FPR), runs=runs, seed=SEED)
    return MembershipAttack(
        attack=attack,
        auc=Interval.of(found.auc),
        tpr_at_fpr_1=Interval.of(found.tpr_at_fpr[LOW_FPR]),
        tpr_at_fpr_10=Interval.of(found.tpr_at_fpr[HIGH_FPR]),
    )
