"""Records for tests of leaderboards, and the rows of their tables."""

from __future__ import annotations

from reidbench.records.parts.common import Interval
from reidbench.records.schema import Record


def made(template: Record, name: str, auc: float, *, seed: int = 0, **changes) -> Record:
    """The sample with another name and with every AUC set, the last attack's a little higher; 500 pairs a kind.

    The mAP@R over patients lies 0.2 below the AUC, with ends 0.05 away."""
    attacks = []
    for number, attack in enumerate(template.attacks):
        if attack.task == "verification":
            value = auc + (0.001 if number == len(template.attacks) - 2 else 0)
            interval = attack.metrics.auc.model_copy(update={"value": value, "low": value - 0.1, "high": value + 0.1})
            figures = {"auc": interval, "genuine": 500, "impostor": 500}
            attack = attack.model_copy(update={"metrics": attack.metrics.model_copy(update=figures)})
        else:
            figures = {"map_at_r_patients": Interval(value=auc - 0.2, low=auc - 0.25, high=auc - 0.15)}
            attack = attack.model_copy(update={"metrics": attack.metrics.model_copy(update=figures)})
        attacks.append(attack)
    defense = template.defense.model_copy(update={"name": name, "options": changes.pop("options", {})})
    kept = {"id": f"{name}{seed}", "seed": seed, "defense": defense, "attacks": attacks, "baseline_id": None}
    return template.model_copy(update={**kept, **changes})


def valid_run(template: Record, name: str, classifiers: list, *, kind: str = "image", **changes) -> Record:
    """The sample as a complete and valid run of a defense with these classifiers, counted from ``undefended``."""
    kept = {
        "id": name,
        "complete": True,
        "utility": template.utility.model_copy(update={"classifiers": classifiers}),
        "defense": template.defense.model_copy(update={"name": name, "kind": kind, "options": {}}),
        "controls": template.controls.model_copy(update={"problems": []}),
        "baseline_id": None if kind == "none" else "undefended",
    }
    return template.model_copy(update=kept | changes)


def table(page: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
