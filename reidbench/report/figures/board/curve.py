"""Points of a privacy–utility curve: one line per defense, the highest risk first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reidbench.records.schema import RetrievalMetrics
from reidbench.report.figures.board.pareto import pareto_front
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.board.tiers import Tier
from reidbench.report.figures.summary import worst_retrieval


@dataclass(frozen=True)
class Point:
    """One set of options of a defense.

    Attributes:
        defense: its name.
        options: ``sigma=0.2``; empty where it has none.
        risk: mAP@R over patients of the strongest attack.
        utility: macro AUC of the findings, with a classifier trained on the release.
        sound: whether the ladder is complete and the controls hold. If not, the true worst case may be higher.
        undefended: whether this is the undefended run.
        tier: what it leaves of the diagnostic value; None where no tier applies.
    """

    defense: str
    options: str
    risk: float
    utility: float
    sound: bool = True
    undefended: bool = False
    tier: Tier | None = None


def lines(points: Iterable[Point]) -> dict[str, list[Point]]:
    """The points of each defense by its name, the highest risk first; without the undefended run."""
    grouped: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        if not point.undefended:
            grouped[point.defense].append(point)
    return {name: sorted(found, key=_order) for name, found in sorted(grouped.items())}


def front(points: Iterable[Point]) -> list[Point]:
    """The sound points of the Pareto front, the lowest risk first; points with equal figures once."""
    ordered = sorted((point for point in points if point.sound), key=_order)
    found: list[Point] = []
    for position in pareto_front([(point.risk, point.utility) for point in ordered]):
        point = ordered[position]
        if not found or (point.risk, point.utility) != (found[-1].risk, found[-1].utility):
            found.append(point)
    return found


def chance_risk(table: Sequence[Row]) -> float | None:
    """What guessing reaches as mAP@R over patients, the same for all rows; None where no record of them says so."""
    for row in table:
        worst = row.worst(worst_retrieval)
        if worst is not None and isinstance(worst.attack.metrics, RetrievalMetrics):
            known = worst.attack.metrics.chance.get("map_at_r_patients")
            if known is not None:
                return known
    return None


def _order(point: Point) -> tuple[float, float, str, str]:
    return -point.risk, -point.utility, point.defense, point.options
