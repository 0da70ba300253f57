"""Supplements of the runs that tests compare: another attacker that tells pairs apart as well as it is told to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from compared_runs import WHERE, Maker

from reidbench.files import content_digest
from reidbench.records.schema import DEFINITIONS, Attack
from reidbench.records.scores import SUFFIX, RunScores, attack_key, read_scores
from reidbench.records.store import read_record
from reidbench.records.supplements.content import AttackerInfo, Supplement
from reidbench.records.supplements.files import both_scores, scores_path, supplement_path, write_supplement


def supply(
    make: Maker,
    path: Path,
    strength: float,
    undefended: float | None,
    *,
    name: str = "cells",
    days: int = 1,
    number: int = 1,
    keep_scores: bool = True,
    grid: int = 8,
) -> Path:
    """Writes a supplement beside a record, of an attacker of this strength on the release and on undefended images."""
    record = read_record(path)
    sides = [_side(make, f"{path.stem}-{number}-{at}", one, name) for at, one in enumerate((strength, undefended))]
    scores = both_scores(sides[0][1], sides[1][1] if undefended is not None else None)
    made = Supplement(
        id=f"{number:016x}",
        defense=record.defense.name,
        record_id=record.id,
        record_sha256=content_digest(path),
        created=record.created + timedelta(days=days),
        definitions=DEFINITIONS,
        reidbench_version=record.reidbench_version,
        git=record.git,
        environment=record.environment,
        command=f"reidbench attack FILE --attacker {name}",
        attacker=AttackerInfo(name=name, distribution="cells.py", version="1", summary="Compares cells."),
        hyperparameters={name: {"grid": grid}},
        overrides={},
        attacks=sides[0][0],
        undefended=sides[1][0],
        timings={"attack": 1.0},
    )
    if keep_scores:
        target = scores_path(supplement_path(made, path.parent))
        made = made.model_copy(update={"scores_sha256": scores.write(target)})
    return write_supplement(made, path.parent)


def _side(make: Maker, place: str, strength: float | None, name: str) -> tuple[list[Attack], RunScores | None]:
    if strength is None:
        return [], None
    other = make(f"attacks-{place}", {"verification": strength}, noise=3)
    record = read_record(other)
    kept = read_scores(other.with_name(f"{record.stem}{SUFFIX}"), str(record.scores_sha256))
    attacks = [attack.model_copy(update={"attacker": name}) for attack in record.attacks]
    verification = {attack_key(name, *WHERE, "random"): next(iter(kept.verification.values()))}
    precision = {attack_key(name, *WHERE): next(iter(kept.average_precision.values()))}
    return attacks, replace(kept, verification=verification, average_precision=precision)
