"""The Pareto front of risk against utility."""

from __future__ import annotations

from collections.abc import Sequence

RiskAndUtility = tuple[float | None, float | None]


def pareto_front(points: Sequence[RiskAndUtility]) -> list[int]:
    """The points that no other point dominates: less risk is possible only with less utility.

    Args:
        points: (risk, utility) of each defense; less risk and more utility are better. A point that lacks a figure
            is on no front.

    Returns:
        Their positions, the lowest risk first. Equal points are all on the front.
    """
    known = [(risk, utility, i) for i, (risk, utility) in enumerate(points) if risk is not None and utility is not None]
    front: list[int] = []
    best = float("-inf")
    # At equal risk the higher utility comes first and dominates the rest; equal points stay together.
    for risk, utility, position in sorted(known, key=lambda point: (point[0], -point[1], point[2])):
        last = points[front[-1]] if front else None
        if utility > best or last == (risk, utility):
            front.append(position)
            best = utility
    return front
