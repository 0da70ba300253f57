"""The parts of a record that a published model has: membership attacks, the audit of its epsilon, and a control."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reidbench.records.parts.common import Count, Model, Number, Rate, RateInterval, Text, unsaid


class MembershipAttack(Model):
    """Who was a model trained on? An attack's score a patient, over training and held-out patients."""

    attack: Literal["loss", "lira", "blind"] = Field(
        description="blind: the loss of a constant predictor, which knows the findings' frequencies and no model; what "
        "it finds is a difference between the patients, and no membership"
    )
    auc: RateInterval = Field(description="95 % percentile bootstrap over patients")
    tpr_at_fpr_1: RateInterval = Field(
        alias="tpr_at_fpr_0.01",
        description="share of members found at 1 % of the others; 95 % bootstrap over patients, guarded as the rest",
    )
    tpr_at_fpr_10: RateInterval = Field(alias="tpr_at_fpr_0.1", description="the same at 10 % of the others")


class DrawnMembership(Model):
    """The attacks on models of the same mechanism whose training patients coins drew from one distribution."""

    targets: Count = Field(description="attacked models, the other of which are the shadows of each; figures are means")
    patients: Count = Field(description="of all splits, of whom a finding is known; in each model with chance one half")
    attacks: list[MembershipAttack] = Field(max_length=100)


class AuditTrial(Model):
    """An attack's surest guesses at whom coins chose."""

    attack: Literal["loss", "lira"]
    guesses: Count
    correct: Count


class WithoutPrivacy(Model):
    """What the same audit proves of the same training without the defense: what it could have found."""

    epsilon_lower: Number
    trials: list[AuditTrial] = Field(max_length=10_000)


class EpsilonAudit(Model):
    """What is proved of the mechanism's epsilon: models trained on patients whom coins chose, and guesses at them."""

    epsilon_lower: Number = Field(
        description="smaller ones are refused; holds with all tried attacks and numbers of guesses"
    )
    epsilon_most: Number | None = Field(
        None,
        exclude_if=unsaid,
        description="what would be proved were every guess right; a larger claim at this delta cannot be contradicted",
    )
    level: Rate = Field(description="confidence")
    delta: Rate = Field(description="of the claim that is tested; where none is made a tenth of 1 / training patients")
    candidates: Count = Field(
        description="coins that were tossed: one for each patient of whom a finding is known, or canary, and model"
    )
    canaries: Count | None = Field(
        None, exclude_if=unsaid, description="generated patients that were inserted; null where the audit used patients"
    )
    models: Count | None = Field(None, exclude_if=unsaid, description="models that were trained on canaries")
    without_privacy: WithoutPrivacy | None = Field(
        None,
        exclude_if=unsaid,
        description="the power of the audit: a bound near 0 says little where this is near 0 too; null in earlier "
        "records: not measured",
    )
    attack: Literal["loss", "lira"] = Field(description="that proved the most")
    guesses: Count
    correct: Count
    trials: list[AuditTrial] | None = Field(
        None, max_length=10_000, exclude_if=unsaid, description="all that was tried, so that other deltas can be judged"
    )


class Membership(Model):
    """Membership attacks on a published model, and the audit of what it claims."""

    members: Count = Field(description="training patients")
    others: Count = Field(description="held-out patients")
    unknown: Count | None = Field(
        None, exclude_if=unsaid, description="patients without any known finding, left out of attacks and audit"
    )
    shadows: Count = Field(description="models that the attacker trained by the same mechanism")
    attacks: list[MembershipAttack] = Field(
        max_length=100, description="on the published model; where splits differ in distribution, on this too"
    )
    drawn: DrawnMembership | None = Field(None, exclude_if=unsaid, description="null in earlier records: not measured")
    audit: EpsilonAudit


class Untrained(Model):
    """The strongest attack on vectors of the same network before any training, by initialization."""

    auc: dict[Text, Annotated[list[Rate | None], Field(max_length=1_000)]] = Field(
        description="by negatives; the highest over the attackers"
    )
    map_at_r_patients: list[Rate | None] = Field(
        max_length=1_000, description="mAP@R averaged over patients, the highest over the attackers"
    )
