"""Results of the membership attacks and of the audit of a published model, in words."""

from __future__ import annotations

from reidbench.records.membership import proved_at
from reidbench.records.schema import Record
from reidbench.report.figures.formats import number
from reidbench.report.figures.summary import contradiction


def membership_lines(record: Record) -> list[str]:
    """A line on the attacks, and one on the audit and the claim; none without membership attacks."""
    found = record.membership
    if found is None:
        return []
    audit, claimed = found.audit, record.defense.privacy
    attacks = "; ".join(
        f"{one.attack} AUC {number(one.auc.value)}, TPR {number(one.tpr_at_fpr_1.value)} at 1 % FPR"
        for one in found.attacks
    )
    left_out = f" ({found.unknown} without any known finding left out)" if found.unknown else ""
    _, most = proved_at(found, audit.delta)
    contradicted = contradiction(record)
    said = f"claimed: ε = {claimed.epsilon:.3g}, δ = {claimed.delta:.2g}, for {claimed.unit}; " if claimed else ""
    return [
        f"membership of {found.members} training patients against {found.others} others{left_out}: {attacks}",
        f"{said}proved: ε ≥ {audit.epsilon_lower:.3g} at {audit.level:.0%} confidence and δ = {audit.delta:.2g} "
        f"({audit.attack}: {audit.correct} of {audit.guesses} guesses right, {audit.candidates} patients, shadow "
        f"models: {found.shadows}), of at most {most:.3g} were every guess right"
        + ("; it can't reject the claim, whatever the model gives away" if claimed and claimed.epsilon >= most else "")
        + (f"; CLAIM CONTRADICTED: {contradicted}" if contradicted else ""),
    ]
