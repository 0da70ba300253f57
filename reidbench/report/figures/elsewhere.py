"""Sentences on the rows of a table that were computed on another machine than their undefended run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.machines import THERE, Apart, apart_text

#: Labels in a sentence; further ones are counted. Every row's status says it too.
NAMED = 4


def elsewhere(table: Sequence[Row]) -> list[str]:
    """One sentence for each way in which machines differ from those of the undefended runs; empty where none does."""
    found: dict[tuple[str, ...], dict[str, list[Apart]]] = defaultdict(lambda: defaultdict(list))
    compared = [row for row in table if any(row.baselines)]
    for row in compared:
        apart = row.apart
        for record, one in zip(row.records, apart, strict=True):
            if one is not None:
                partly = "" if all(apart) else f" at seed {record.seed}"
                found[one.differences][f"{row.label}{partly}"].append(one)
    return [_sentence(labels, len(compared)) for labels in found.values()]


def _sentence(labels: dict[str, list[Apart]], compared: int) -> str:
    names = list(labels)
    more = len(names) - NAMED
    named = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    what = apart_text([one for of in labels.values() for one in of])
    return f"Computed {THERE} the undefended run ({len(names)} of {compared} rows: {named}): {what}."
