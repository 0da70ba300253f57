"""The command that makes one record again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from reidbench.harness.record import Record
from reidbench.harness.threats import full_ladder

# What else has hyperparameters.
NO_ATTACKERS = ("classifier", "restorer")
USUAL_ATTACKERS = ["verification", "retrieval"]


def repeat_command(record: Record) -> str:
    """A command line that judges this record's defense alone, with its options, dataset, preset and seed.

    A dataset's folder is no part of a record: ``FOLDER`` stands for it, and ``FILE`` for a list of pairs.
    """
    words = ["reidbench", "run"]
    if record.defense.kind == "none":
        # Every run judges the undefended images first; some defense must be named.
        words += ["--defense", "identity"]
    else:
        words += ["--defense", _spec(record.defense.name, record.defense.options)]
    words += ["--dataset", _spec(record.dataset.name, record.dataset.options)]
    if "--root" in record.command:
        words += ["--root", "FOLDER"]
    words += ["--preset", record.preset]
    words += ["--seed", str(record.seed)]
    attackers = [name for name in record.hyperparameters if name not in NO_ATTACKERS]
    if attackers != USUAL_ATTACKERS:
        words += [word for name in attackers for word in ("--attacker", name)]
    if not record.complete:
        climbed = {(attack.knowledge, attack.linkage) for attack in record.attacks}
        rungs = [str(rung) for rung in full_ladder() if (rung.knowledge, rung.linkage) in climbed]
        words += [word for rung in rungs for word in ("--rung", rung)]
    for name, value in record.overrides.items():
        if name == "size":
            words += ["--size", str(value)]
        elif name == "pairs":
            words += ["--pairs", "FILE"]
        else:
            words += ["--set", f"{name}={value}"]
    return shlex.join(words)


def _spec(name: str, options: Mapping[str, Any]) -> str:
    if not options:
        return name
    plain = all(
        isinstance(value, bool | int | float) or (isinstance(value, str) and not set(value) & set(",={}: "))
        for value in options.values()
    )
    if plain:
        return f"{name}:" + ",".join(f"{option}={value}" for option, value in options.items())
    return f"{name}:{json.dumps(options)}"
