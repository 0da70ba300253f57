"""The privacy–utility curve as an SVG: one panel per table of the leaderboard, the same bytes from the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from math import ceil, dist, floor
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from reidbench.report.figures.board.curve import Point, front, lines
from reidbench.report.figures.summary import CHANCE_AUC
from reidbench.report.pictures.labels import Box, Places

WIDTH, PANEL, HEAD, MARGIN_LEFT, MARGIN_RIGHT, FOOT = 820, 560, 44, 64, 24, 92
MARKER = 4.5
# Colours, then shapes, distinguish defenses. Both sets have a contrast of at least 4.5:1 on their background.
LIGHT = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#0f766e", "#8a5a00", "#bf3989")
DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#ff7b72", "#39c5bb", "#d29922", "#f778ba")
SHAPES = ("circle", "square", "triangle")
NAME, OPTIONS = 12, 10
LONGEST = 40
LONGEST_LINE = 110


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: text above the panel.
        points: the points that it shows.
        missing: labels of rows without a risk or a utility.
    """

    title: str
    points: Sequence[Point]
    missing: Sequence[str] = field(default=())


def draw(name: str, panels: Sequence[Panel], *, upward: str) -> str:
    """The figure of a dataset; colours follow the reader's light or dark mode.

    Args:
        name: name of the page.
        panels: from top to bottom.
        upward: title of the utility axis.
    """
    return _template().render(
        name=_printable(name),
        upward=upward,
        width=WIDTH,
        height=PANEL * len(panels),
        marker=MARKER,
        name_size=NAME,
        options_size=OPTIONS,
        light=LIGHT,
        dark=DARK,
        panels=[_laid_out(panel, PANEL * number) for number, panel in enumerate(panels)],
    )


def _laid_out(panel: Panel, top: int) -> dict[str, Any]:
    frame = Box(MARGIN_LEFT, top + HEAD, WIDTH - MARGIN_RIGHT, top + PANEL - FOOT)
    across = _Axis.over([point.risk for point in panel.points], frame.left, frame.right)
    upward = _Axis.over([point.utility for point in panel.points], frame.bottom, frame.top)

    def at(point: Point) -> tuple[float, float]:
        return across(point.risk), upward(point.utility)

    grouped = lines(panel.points)
    best = [at(point) for point in front(panel.points)]
    chance = (across(CHANCE_AUC), upward(CHANCE_AUC))
    places = Places(frame)
    places.markers += [_square(*at(point)) for point in panel.points] + [_square(*chance)]
    for found in grouped.values():
        places.steps += _steps([at(point) for point in found])
    labels = list(_labels(panel, grouped, at, chance, places))
    return {
        "title": _printable(panel.title, LONGEST_LINE),
        "top": top,
        "frame": frame,
        "x_ticks": across.ticks(),
        "y_ticks": upward.ticks(),
        "chance": chance,
        "front": _staircase(best),
        "lines": [
            {
                "colour": number % len(LIGHT),
                "shape": SHAPES[number // len(LIGHT) % len(SHAPES)],
                "path": _path([at(point) for point in found]) if len(found) > 1 else "",
                "points": [(*at(point), point.sound) for point in found],
            }
            for number, found in enumerate(grouped.values())
        ],
        "undefended": [(*at(point), point.sound) for point in panel.points if point.undefended],
        "labels": labels,
        "hollow": not all(point.sound for point in panel.points),
        "missing": _printable(", ".join(panel.missing), LONGEST_LINE),
    }


def _labels(panel: Panel, grouped: dict[str, list[Point]], at: Any, chance: Any, places: Places) -> Iterator[Any]:
    """Names always, options where there is room: (text, x, y, kind, colour)."""
    wanted = [("undefended", *at(point), "fixed", 0) for point in panel.points if point.undefended]
    wanted.append(("chance", *chance, "fixed", 0))
    # At the end with the lowest risk, where the lines are apart.
    wanted += [
        (_printable(name), *at(found[-1]), "name", number % len(LIGHT))
        for number, (name, found) in enumerate(grouped.items())
    ]
    for found in grouped.values():
        if len(found) > 1:
            wanted += [(_printable(point.options), *at(point), "options", 0) for point in found if point.options]
    for text, x, y, kind, colour in wanted:
        size = OPTIONS if kind == "options" else NAME
        place = places.place(text, x, y, size, needed=kind != "options")
        if place is not None:
            yield text, *place, kind, colour


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        """An axis that includes chance and all values, with a margin, rounded to steps of 0.05."""
        low, high = min(CHANCE_AUC, *values) - 0.03, max(CHANCE_AUC + 0.1, *values) + 0.03
        return cls(floor(low * 20) / 20, ceil(high * 20) / 20, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        step = 1 if self.high - self.low < 0.45 else 2
        first, last = ceil(round(self.low * 20, 6)), floor(round(self.high * 20, 6))
        # An AUC is at most 1.
        return [(self(n / 20), f"{n / 20:.2f}") for n in range(first, last + 1) if n % step == 0 and n <= 20]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _staircase(front: Sequence[tuple[float, float]]) -> str:
    """A step line through the front: the highest utility at each risk."""
    steps = front[:1]
    for (_, y), (next_x, next_y) in pairwise(front):
        steps = [*steps, (next_x, y), (next_x, next_y)]
    return _path(steps) if len(front) > 1 else ""


def _steps(places: Sequence[tuple[float, float]], length: float = 4.0) -> list[tuple[float, float]]:
    found = []
    for one, other in pairwise(places):
        count = max(1, int(dist(one, other) / length))
        found += [
            (one[0] + (other[0] - one[0]) * n / count, one[1] + (other[1] - one[1]) * n / count) for n in range(count)
        ]
    return found


def _square(x: float, y: float) -> Box:
    return Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER)


def _printable(text: str, longest: int = LONGEST) -> str:
    # Names come from plugins, and XML allows no control characters, not even escaped.
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("reidbench.report.pictures", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["px"] = lambda value: f"{value:.1f}"
    return environment.get_template("curve.svg.jinja")
