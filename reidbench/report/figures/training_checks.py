"""Trainings that started and led nowhere, in words."""

from __future__ import annotations

from reidbench.records.parts.training import TrainingCheck
from reidbench.records.schema import Record
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.summary import short_rung


def check_text(check: TrainingCheck) -> str:
    """The figures of a training on validation pairs and what follows from them."""
    found = (
        f"AUC {number(check.auc)} on validation pairs, {number(check.raw_auc)} without training, "
        f"gain {figure(check.gain)}"
    )
    return f"{check.verdict}: {found}" if check.verdict else found


def badly_trained(record: Record) -> list[str]:
    """The attackers that find no more than no network at all, a sentence; their figures are no evidence of privacy.

    Attackers at chance are not among them where raw pixels are too: nothing may be there to be found.
    """
    found = [
        f"{short_rung(attack)} ({check_text(attack.check)})"
        for attack in record.attacks
        if attack.check is not None and attack.check.failed
    ]
    return [f"badly trained, and no evidence of privacy: {'; '.join(found)}"] if found else []
