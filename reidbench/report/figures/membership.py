"""Results of the membership attacks, the audit and the control of a published model, in words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from reidbench.records.membership import proved_at
from reidbench.records.parts.membership import EpsilonAudit, Membership, MembershipAttack
from reidbench.records.schema import Record
from reidbench.report.figures.credit import MARK, Comparison, comparisons, credited
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.summary import contradiction

#: Explains the figure of a blind attack.
BLIND = (
    "blind: the loss of a constant predictor, which looks at no model; what it finds is a difference between the "
    "patients, and what the others find beyond it is membership"
)


def _attacks(attacks: list[MembershipAttack]) -> str:
    return "; ".join(
        f"{one.attack} AUC {figure(one.auc)}"
        + ("" if one.attack == "blind" else f", TPR {number(one.tpr_at_fpr_1.value)} at 1 % FPR")
        for one in attacks
    )


def _candidates(found: Membership) -> str:
    audit = found.audit
    if audit.canaries is None:
        return f"{audit.candidates} patients, shadow models: {found.shadows}"
    return f"{audit.canaries} canary patients, models: {audit.models}"


def _power(audit: EpsilonAudit) -> str:
    """What the same audit finds where there is no privacy: what a bound of 0 is to be compared with."""
    if audit.without_privacy is None:
        return ""
    power = audit.without_privacy.epsilon_lower
    text = f"; of the same training without privacy it proves ε ≥ {power:.3g}"
    return text if power else f"{text}: it has no power here, and its bound says nothing"


def membership_lines(record: Record) -> list[str]:
    """A line on each kind of attacked models, and one on the audit and the claim; none without membership attacks."""
    found = record.membership
    if found is None:
        return []
    audit, claimed = found.audit, record.defense.privacy
    left_out = f" ({found.unknown} without any known finding left out)" if found.unknown else ""
    _, most = proved_at(found, audit.delta)
    contradicted = contradiction(record)
    said = f"claimed: ε = {claimed.epsilon:.3g}, δ = {claimed.delta:.2g}, for {claimed.unit}; " if claimed else ""
    drawn = []
    if found.drawn:
        drawn = [
            "membership in models whose training patients were drawn at random "
            f"({found.drawn.targets} models, each of half of {found.drawn.patients} patients): "
            f"{_attacks(found.drawn.attacks)}"
        ]
    return [
        *drawn,
        f"membership of {found.members} training patients against {found.others} others{left_out}: "
        f"{_attacks(found.attacks)}",
        f"{said}proved: ε ≥ {audit.epsilon_lower:.3g} at {audit.level:.0%} confidence and δ = {audit.delta:.2g} "
        f"({audit.attack}: {audit.correct} of {audit.guesses} guesses right, {_candidates(found)}), "
        f"of at most {most:.3g} were every guess right{_power(audit)}"
        + ("; it can't reject the claim, whatever the model gives away" if claimed and claimed.epsilon >= most else "")
        + (f"; CLAIM CONTRADICTED: {contradicted}" if contradicted else ""),
    ]


def untrained_line(record: Record) -> str | None:
    """The comparison and what follows from it, in a sentence; None where the control was not made."""
    compared = comparisons(record)
    if not compared:
        return None
    count = len(compared[0].untrained)
    text = f"linking test patients: {'; '.join(map(_beside, compared))} ({count} initializations)"
    if record.defense.kind == "none":
        return text
    below = [one.name for one in compared if one.credited]
    if not below:
        return f"{text}; {MARK}: training less hides as much, and no fall is credited to the defense"
    return f"{text}; below every untrained network, beyond the interval: {', '.join(below)}"


def untrained_over_seeds(records: Sequence[Record]) -> str | None:
    """The same of a model over its seeds: means of its figures, beside the range of all untrained networks.

    What is credited to a defense is below every untrained network of its seed, at all seeds.

    Args:
        records: of one model, at least one.
    """
    if len(records) == 1:
        return untrained_line(records[0])
    compared = [comparisons(record) for record in records]
    if not all(compared):
        return None
    told = []
    for name in [one.name for one in compared[0]]:
        seeds = [one for seed in compared for one in seed if one.name == name]
        if len(seeds) < len(records):
            continue
        trained = [one.trained.value for one in seeds if one.trained.value is not None]
        bare = [value for one in seeds for value in one.untrained]
        told.append(
            f"{name} {fmean(trained):.3f} ({min(trained):.3f} to {max(trained):.3f}), "
            f"{min(bare):.3f} to {max(bare):.3f} untrained"
        )
    below = credited(*records)
    count = sum(len(seed[0].untrained) for seed in compared)
    text = f"linking test patients, {len(records)} seeds: {'; '.join(told)} ({count} initializations)"
    if records[0].defense.kind == "none":
        return text
    if not below:
        return (
            f"{text}; no figure is below every untrained network at all seeds: training less hides as much, and no "
            "fall is credited to the defense"
        )
    return f"{text}; below every untrained network, beyond the interval, at all seeds: {', '.join(below)}"


def _beside(one: Comparison) -> str:
    low, high = min(one.untrained), max(one.untrained)
    return f"{one.name} {figure(one.trained)}, {low:.3f} to {high:.3f} untrained"
