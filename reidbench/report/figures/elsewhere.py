"""Rows that were computed on another machine than the undefended run that they are compared with.

With equal code and seed, another processor or another version of a package rounds in another way, and trainings end in
other weights. A fall of utility is counted from the run's own classifier of originals; a drop of risk is counted from
the undefended run's attacks, wherever those were made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reidbench.records.schema import Record
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.formats import number
from reidbench.report.figures.summary import utility, utility_fall

#: Labels in a sentence; further ones are counted.
NAMED = 4
# Records keep eight digits.
_SAME = 1e-6


def elsewhere(table: Sequence[Row]) -> list[str]:
    """One sentence for each way in which rows' machines differ from their undefended runs'; empty where none does."""
    found: dict[str, list[str]] = defaultdict(list)
    judged = 0
    for row in table:
        pairs = [(one, of) for one, of in zip(row.records, row.baselines, strict=True) if of is not None]
        judged += bool(pairs)
        for told in dict.fromkeys(filter(None, (differing(one, of) for one, of in pairs))):
            found[told].append(row.label)
    return [
        f"{_rows(labels, judged)} on another machine than the undefended run: {told}." for told, labels in found.items()
    ]


def differing(record: Record, baseline: Record) -> str | None:
    """What shows that a run and its undefended run were computed on different machines; None where nothing does."""
    told = record.environment.differences(baseline.environment)
    own, theirs = _originals(record), _originals(baseline)
    if own is not None and theirs is not None and abs(own - theirs) > _SAME:
        told.append(
            f"the classifier of originals has a utility of {number(own)} there, from which falls of utility are "
            f"counted, and of {number(theirs)} in the undefended run"
        )
    return "; ".join(told) or None


def _originals(record: Record) -> float | None:
    """Macro AUC of the run's own classifier of originals on originals."""
    left, fallen = utility(record, "release"), utility_fall(record, "release")
    if left is None or fallen is None or left.value is None or fallen.value is None:
        return None
    return left.value + fallen.value


def _rows(labels: Sequence[str], judged: int) -> str:
    if len(labels) == judged:
        return f"All {judged} rows were computed" if judged > 1 else f"{labels[0]} was computed"
    more = len(labels) - NAMED
    named = ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{len(labels)} of {judged} rows ({named}) were computed"
