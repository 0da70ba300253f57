"""Older records as records of today: the one place that knows how they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reidbench.cohorts.unsaid import with_unsaid
from reidbench.errors import ReidbenchError

_PUBLISHED_EPOCHS = {"flow_field": 32, "privacy_net": 32}
_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record's JSON with the newest schema.

    Args:
        data: as read, of any earlier version or the newest one. Versions that are unknown are left to validation.

    Raises:
        ReidbenchError: its figures are of a kind that no longer compares with today's, so that it must be run again.
        KeyError, TypeError, ValueError, AttributeError: it is not a record.
    """
    made = dict(data)
    while step := _STEPS.get(made.get("schema_version", 0)):
        made = step(made)
    return _named_dataset(_named_stand_in(made))


def published_epochs(name: str, distribution: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``published`` of a defense should hold in a record that lacks it: two built-in ones were trained for less.

    Raises:
        TypeError: the option is no number.
    """
    epochs = _PUBLISHED_EPOCHS.get(name) if distribution == "reidbench" else None
    return None if epochs is None or options.get("epochs", epochs) >= epochs else {"epochs": epochs}


def _named_stand_in(data: dict[str, Any]) -> dict[str, Any]:
    """Records from before stand-ins were recorded say so now."""
    defense = data["defense"]
    published = published_epochs(defense["name"], defense["distribution"], defense["options"])
    if published is None or "published" in defense:
        return data
    return {**data, "defense": {**defense, "published": published}}


def _named_dataset(data: dict[str, Any]) -> dict[str, Any]:
    """Records from before a dataset had an option state it now."""
    dataset = data["dataset"]
    return {**data, "dataset": {**dataset, "options": with_unsaid(dataset["name"], dataset["options"])}}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 has counts in place of rates, strata of one attack only, and no flags for pairs and intervals of old."""
    made, judged = dict(data), data["attacks"]
    if made.pop("impostors", "drawn") != "exchanged" or made.pop("intervals", "percentile") != "guarded":
        raise ReidbenchError(
            "its impostor pairs or intervals are of a kind that no longer compares; make it again with `reidbench run`"
        )
    strongest = max(map(_divided_auc, judged), default=0.0)
    attacks, kept = [], False
    for attack in judged:
        figures = dict(attack["metrics"])
        for name in ("at_half", "calibrated"):
            if figures.get(name) is not None:
                figures[name] = _decision(figures[name], figures["genuine"], figures["impostor"])
        if kept or _divided_auc(attack) < strongest:
            figures.pop("strata", None)
        elif figures.get("strata"):
            kept = True
        attacks.append({**attack, "metrics": figures})
    return {**made, "schema_version": 2, "attacks": attacks}


def _divided_auc(attack: Mapping[str, Any]) -> float:
    figures = attack["metrics"]
    value = figures["auc"]["value"] if figures.get("strata") else None
    return -1.0 if value is None else float(value)


def _decision(data: Mapping[str, Any], genuine: int, impostor: int) -> dict[str, Any]:
    if data.get("true_positives") is not None:
        return {"threshold": data["threshold"], **{name: data[name] for name in _COUNTS}}
    # The first records had rates alone, from which the counts follow.
    accepted, refused = round((data["recall"] or 0) * genuine), round((data["specificity"] or 0) * impostor)
    counts = (accepted, impostor - refused, refused, genuine - accepted)
    return {"threshold": data["threshold"], **dict(zip(_COUNTS, counts))}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
