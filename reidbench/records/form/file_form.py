"""The form of records in files, which keeps them small: trainings once, attacks as rows, and figures as lists.

Trainings stand once, under ``trainings``, and attacks and classifiers name them: a run has a dozen trainings and four
times as many attacks. Attacks are rows of a table, as :mod:`reidbench.records.form.attack_rows` says. Figures with an
interval are lists, ``[value, low, high]``, with the reason behind them where they have no ends; so are the decisions of
a threshold, ``[threshold, true positives, false positives, true negatives, false negatives]``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.records.form.attack_rows import KINDS, as_rows, in_full
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import Decision

# Where an attack or a classifier refers to trainings.
_TRAININGS = ("training", "restoration")
_INTERVAL = {"value", "low", "high"}
#: Fields of a record with lists of attacks.
ATTACKS = ("attacks",)


def file_text(dumped: dict[str, Any], attacks: Sequence[str] = ATTACKS) -> str:
    """A record's JSON as its file has it, one line for each field and each attack.

    Args:
        dumped: all fields, by alias.
        attacks: the fields with lists of attacks.
    """
    data = _small(dumped)
    trainings: dict[str, Any] = {}
    for owner, name in _references(data, attacks):
        if isinstance(owner.get(name), dict):
            owner[name] = _key(owner[name], trainings)
    kinds, rows = as_rows([data[name] for name in attacks])
    in_rows = dict(zip(attacks, rows))
    shown: dict[str, Any] = {}
    for name, value in data.items():
        if name == attacks[0] and kinds:
            shown[KINDS] = kinds
        shown[name] = in_rows.get(name, value)
    lines = [f"{_json(name)}: {_field(value)}" for name, value in {**shown, "trainings": trainings}.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def with_trainings(data: dict[str, Any], attacks: Sequence[str] = ATTACKS) -> dict[str, Any]:
    """A file's JSON with attacks in full, and each training in place of its key; ``data`` stays as it is.

    Raises:
        ReidbenchError: a training is named that is not there, or the rows of attacks do not fit their kinds.
        KeyError, TypeError, ValueError, AttributeError: it is not such a file.
    """
    data = in_full(data, attacks)
    made = {name: value for name, value in data.items() if name != "trainings"}
    # Validated once each, not once for each attack that refers to it.
    trainings = {key: TrainingInfo.model_validate(told) for key, told in data.get("trainings", {}).items()}
    for name in attacks:
        if name in data:
            made[name] = [dict(attack) for attack in data[name]]
    if data.get("utility") is not None:
        classifiers = [dict(classifier) for classifier in data["utility"]["classifiers"]]
        made["utility"] = {**data["utility"], "classifiers": classifiers}
    for owner, name in _references(made, attacks):
        key = owner.get(name)
        if isinstance(key, str):
            if key not in trainings:
                raise ReidbenchError(f"no reidbench record: there is no training {key!r}")
            owner[name] = trainings[key]
    return made


def _references(data: dict[str, Any], attacks: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    utility = data.get("utility") or {}
    for owner in [one for name in attacks for one in data.get(name, [])] + list(utility.get("classifiers", [])):
        for name in _TRAININGS:
            yield owner, name


def _key(training: dict[str, Any], trainings: dict[str, Any]) -> str:
    """The key of a training, under which it is kept: the first digits of its digest."""
    text = json.dumps(training, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    trainings[key] = training
    return key


def _small(part: Any) -> Any:
    if isinstance(part, dict):
        if part.keys() >= _INTERVAL and part.keys() <= {*_INTERVAL, "why_unbounded"}:
            ends = [part["value"], part["low"], part["high"]]
            return [*ends, part["why_unbounded"]] if part.get("why_unbounded") is not None else ends
        if part.keys() == Decision.model_fields.keys():
            return [part[name] for name in Decision.model_fields]
        return {name: _small(value) for name, value in part.items()}
    return [_small(one) for one in part] if isinstance(part, list) else part


def _field(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return "[\n " + ",\n ".join(map(_json, value)) + "\n]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
