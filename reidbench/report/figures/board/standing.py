"""Which rows of a table are on the Pareto front, and which are shown to be off it.

Two rows whose intervals overlap can change places by chance. A row is shown to be off the front only where some other
row has less risk (mAP@R over patients of the strongest attack) and at least as much utility beyond the intervals of
both differences. Differences are counted from drops against the same undefended run where both rows have them, so that
what all runs share cancels. Falls of utility are each counted from the run's own classifier of originals, which on
one machine is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from reidbench import metrics
from reidbench.records.parts.common import Interval
from reidbench.report.figures.board.rows import Row, front
from reidbench.report.figures.paired.change import independent
from reidbench.report.figures.summary import worst_retrieval


class Standing(Enum):
    """Where a row stands; the values are what tables print."""

    FRONT = "yes"
    UNDECIDED = "undecided"
    DOMINATED = ""


def standings(table: Sequence[Row]) -> list[Standing]:
    """One standing for each row, by the strongest mAP@R over patients and utility (retrained).

    A row that is not sound, or lacks a figure, is never on the front.
    """
    best = set(front(table))
    sides = [_Side.of(row) if row.sound else None for row in table]
    found = []
    for position, side in enumerate(sides):
        if position in best:
            found.append(Standing.FRONT)
        elif side is None or any(other and other.dominates(side) for other in sides):
            found.append(Standing.DOMINATED)
        else:
            found.append(Standing.UNDECIDED)
    return found


@dataclass(frozen=True)
class _Side:
    """A row's risk and utility with their intervals, and both as falls against the undefended runs."""

    risk: Interval
    utility: Interval
    baselines: frozenset[str]
    risk_fall: Interval | None
    utility_fall: Interval | None

    @classmethod
    def of(cls, row: Row) -> _Side | None:
        worst, utility = row.worst(worst_retrieval), row.utility_interval("release", "release")
        if worst is None or utility is None or utility.value is None:
            return None
        undefended = row.records[0].defense.kind == "none"
        nothing = Interval(value=0.0, low=0.0, high=0.0)
        names = [record.id if undefended else record.baseline_id for record in row.records]
        return cls(
            worst.figure,
            utility,
            frozenset(filter(None, names)),
            nothing if undefended else row.drop(worst_retrieval),
            nothing if undefended else row.fall("release", "release"),
        )

    def dominates(self, other: _Side) -> bool:
        """Whether this row's risk is shown to be lower than the other's, and its utility to be no lower."""
        safer = self._less(other, "risk")
        better = other._less(self, "utility")
        return safer.low >= 0 and better.low >= 0 and max(safer.low, better.low) > 0

    def _less(self, other: _Side, figure: str) -> metrics.Interval:
        """How much lower this row's figure is than the other's, with an interval; NaN ends where there is none."""
        mine, theirs = getattr(self, f"{figure}_fall"), getattr(other, f"{figure}_fall")
        if self.baselines == other.baselines and _bounded(mine) and _bounded(theirs):
            return independent(mine, theirs)
        return independent(getattr(other, figure), getattr(self, figure))


def _bounded(fall: Interval | None) -> bool:
    return fall is not None and fall.low is not None
