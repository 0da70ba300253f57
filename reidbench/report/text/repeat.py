"""The command that repeats the run of one record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Container, Mapping
from typing import Any

from reidbench.defenses.fingerprint import FILE
from reidbench.records.ladder import DEFAULT_ATTACKERS, OTHER_TRAININGS, full_ladder
from reidbench.records.schema import Record


def repeat_command(record: Record) -> str:
    """A command line that evaluates this record's defense alone, with its options, dataset, preset and seed.

    Records do not contain paths: ``FOLDER`` stands for the folder of the dataset, and ``FILE`` for a list of pairs.
    """
    words = ["reidbench", "run"]
    if record.defense.kind == "none" and record.track == "images":
        # Every run evaluates the undefended images first, but the command needs a defense.
        words += ["--defense", "identity"]
    else:
        words += ["--defense", _spec(record.defense.name, record.defense.options)]
    words += _where(record)
    attackers = [name for name in record.hyperparameters if name not in OTHER_TRAININGS]
    if tuple(attackers) != DEFAULT_ATTACKERS and record.track == "images":
        words += [word for name in attackers for word in ("--attacker", name)]
    if not record.complete:
        climbed = {(attack.knowledge, attack.linkage) for attack in record.attacks}
        rungs = [str(rung) for rung in full_ladder(record.track) if (rung.knowledge, rung.linkage) in climbed]
        words += [word for rung in rungs for word in ("--rung", rung)]
    words += _settings(record)
    return shlex.join(words)


def explain_command(record: Record, out: str) -> str:
    """A command line that draws the attention maps of the attacker into ``out``."""
    words = ["reidbench", "explain"]
    if record.defense.kind != "none":
        words += ["--defense", _spec(record.defense.name, record.defense.options)]
    # `explain` takes one attacker and knows no settings of another.
    others = {name for name in record.hyperparameters if name not in (*OTHER_TRAININGS, DEFAULT_ATTACKERS[0])}
    words += [*_where(record), *_settings(record, without={"pairs", *others}), "--out", out]
    return shlex.join(words)


def _where(record: Record) -> list[str]:
    words = ["--dataset", _spec(record.dataset.name, record.dataset.options)]
    if "--root" in record.command:
        words += ["--root", "FOLDER"]
    return [*words, "--preset", record.preset, "--seed", str(record.seed)]


def _settings(record: Record, without: Container[str] = ()) -> list[str]:
    words = []
    for name, value in record.overrides.items():
        if name.partition(".")[0] in without:
            continue
        if name == "size":
            words += ["--size", str(value)]
        elif name == "pairs":
            words += ["--pairs", "FILE"]
        else:
            words += ["--set", f"{name}={_typed(value)}"]
    return words


def _typed(value: Any) -> Any:
    return "FILE" if isinstance(value, str) and value.startswith(FILE) else value


def _spec(name: str, options: Mapping[str, Any]) -> str:
    if not options:
        return name
    options = {option: _typed(value) for option, value in options.items()}
    plain = all(
        isinstance(value, bool | int | float) or (isinstance(value, str) and not set(value) & set(",={}: "))
        for value in options.values()
    )
    if plain:
        return f"{name}:" + ",".join(f"{option}={value}" for option, value in options.items())
    return f"{name}:{json.dumps(options)}"
