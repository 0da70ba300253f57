"""A supplement on the terminal: what the attacker reached on each rung, and whether the defense has fallen."""

from __future__ import annotations

from pathlib import Path

from reidbench.records.paired.strongest import headline
from reidbench.records.schema import Attack, Record
from reidbench.records.supplements.content import Supplement, supplied
from reidbench.report.figures.formats import figure
from reidbench.report.figures.summary import Worst, defense_label, worst_retrieval, worst_verification


def supplement_text(record: Record, made: Supplement, path: Path) -> str:
    """The figures of a supplement, one line for each attack, and beside the record's.

    Args:
        record: alone.
        path: of the supplement.
    """
    width = max(len(_name(attack)) for attack in made.attacks)
    before = {_name(attack): attack for attack in made.undefended}
    lines = [f"{defense_label(record)}, seed {record.seed}: {made.attacker.name} {made.id}"]
    for attack in made.attacks:
        other = before.get(_name(attack))
        beside = f"  undefended {figure(headline(other))}" if other else ""
        what = "mAP@R" if attack.task == "retrieval" else "AUC"
        lines.append(f"  {_name(attack):<{width}}  {what:<5} {figure(headline(attack))}{beside}")
    whole = supplied(record, [(made, path)])
    for name, find in (("AUC", worst_verification), ("mAP@R", worst_retrieval)):
        lines.append(_compared(name, find(record), find(whole)))
    return "\n".join(lines)


def _compared(name: str, own: Worst | None, both: Worst | None) -> str:
    if both is None:
        return f"{name} of the strongest attack: undefined"
    if own is not None and both.value <= own.value:
        return f"{name} of the strongest attack: still {own.value:.3f}, of the record"
    return f"{name} of the strongest attack: {both.value:.3f}, of this supplement" + (
        "" if own is None else f"; {own.value:.3f} of the record"
    )


def _name(attack: Attack) -> str:
    parts = (attack.attacker, attack.knowledge, attack.linkage, attack.negatives)
    return ", ".join(part for part in parts if part)
