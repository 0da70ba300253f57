"""Supplements beside records: read for tables and pages, and a record's figures as they rose with each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reidbench.records.schema import Attack, Record
from reidbench.records.supplements.content import Source, source_of
from reidbench.records.supplements.files import read_beside
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.paired.drops import HEADLINES, Find
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.summary import Worst, short_rung, worst_retrieval, worst_verification

#: Before the lines of :func:`raised`.
RAISED = "Strongest attacks that were added after a record was made; drops count from the same attackers:"
#: What the headlines are called in a history.
FIGURES: dict[Find, str] = {worst_verification: "AUC", worst_retrieval: "mAP@R"}


def with_supplements(
    kept: Sequence[Kept], places: Iterable[Path] = (), *, brief: bool = False
) -> tuple[list[Kept], list[str]]:
    """Records with the attacks of the supplements beside them, and one line for each supplement that is left out.

    Args:
        places: files and folders that were asked for; a supplement in one of these folders whose record is missing is
            named too.
        brief: leave out what tables don't show.
    """
    found = read_beside([(one.record, one.path) for one in kept], list(places), brief=brief)
    return [Kept(record, one.path) for record, one in zip(found.records, kept)], found.refused


@dataclass(frozen=True)
class Stage:
    """The strongest attacks on a release at one time.

    Attributes:
        made: when the record or the supplement was made.
        by: ``the record``, or a supplement's attacker.
        source: the supplement; None for the record.
        strongest: of each headline; None where it is undefined.
        rises: whether each is higher than at the stage before.
    """

    made: datetime
    by: str
    source: Source | None
    strongest: tuple[Worst | None, ...]
    rises: tuple[bool, ...]


def history(record: Record) -> list[Stage]:
    """The figures of a record when it was made, and then with each supplement, the earliest first.

    One stage alone where it has no supplement.
    """
    taken: list[Attack] = []
    made = [Stage(record.created, "the record", None, _strongest(record, taken), (False,) * len(HEADLINES))]
    groups: dict[str, list[Attack]] = {}
    for attack in record.supplied:
        if (source := source_of(attack)) is not None:
            groups.setdefault(source.id, []).append(attack)
    for attacks in sorted(groups.values(), key=_made):
        taken += attacks
        found = _strongest(record, taken)
        rises = tuple(
            now is not None and (then is None or now.value > then.value) for now, then in zip(found, made[-1].strongest)
        )
        first = source_of(attacks[0])
        assert first is not None
        made.append(Stage(first.created, first.attacker, first, found, rises))
    return made


def raised(table: Iterable[Row]) -> list[str]:
    """How supplements made the figures of a table rise, one line for each record and figure."""
    return [
        f"{row.label}, seed {record.seed}: {line}."
        for row in table
        for record in row.records
        for line in _raised(record)
    ]


def _raised(record: Record) -> list[str]:
    if not record.supplied:
        return []
    stages = history(record)
    lines = []
    for number, find in enumerate(HEADLINES):
        before, after = stages[0].strongest[number], stages[-1].strongest[number]
        if after is None or (source := source_of(after.attack)) is None:
            continue
        then = "" if before is None else f", {before.value:.3f} at the time of the record ({record.created:%Y-%m-%d})"
        lines.append(
            f"{FIGURES[find]} {after.value:.3f} by {short_rung(after.attack)}, {source.text} ({source.path.name}){then}"
        )
    return lines


def _made(attacks: Sequence[Attack]) -> datetime:
    source = source_of(attacks[0])
    assert source is not None
    return source.created


def _strongest(record: Record, attacks: Sequence[Attack]) -> tuple[Worst | None, ...]:
    seen = record.with_supplied(attacks)
    finds: tuple[Find, ...] = HEADLINES
    return tuple(find(seen) for find in finds)
