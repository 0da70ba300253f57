"""Results of the membership attacks and of the audit of a published model, in words."""

from __future__ import annotations

from reidbench.records.membership import proved_at
from reidbench.records.parts.membership import MembershipAttack
from reidbench.records.schema import Record
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.summary import contradiction

#: What a blind attack is, for whoever reads its figure.
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
        f"({audit.attack}: {audit.correct} of {audit.guesses} guesses right, {audit.candidates} patients, shadow "
        f"models: {found.shadows}), of at most {most:.3g} were every guess right"
        + ("; it can't reject the claim, whatever the model gives away" if claimed and claimed.epsilon >= most else "")
        + (f"; CLAIM CONTRADICTED: {contradicted}" if contradicted else ""),
    ]
