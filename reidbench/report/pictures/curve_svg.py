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
from reidbench.report.figures.board.tiers import Tier
from reidbench.report.figures.summary import CHANCE_AUC
from reidbench.report.pictures.labels import Box, Places

WIDTH, PANEL, HEAD, MARGIN_LEFT, MARGIN_RIGHT, FOOT = 820, 560, 44, 64, 24, 92
MARKER = 4.5
# The tiers of diagnostic value by shape, then colour; a label at each line names its defense. All colours have a
# contrast of at least 4.5:1 on their background.
SHAPES = {Tier.KEEPS: "circle", Tier.OPEN: "square", Tier.LOSES: "triangle"}
SIGNS = {Tier.KEEPS.value: "●", Tier.OPEN.value: "■", Tier.LOSES.value: "▲"}
LIGHT = {"keeps": "#0969da", "open": "#8a5a00", "loses": "#cf222e", "plain": "#59636e"}
DARK = {"keeps": "#58a6ff", "open": "#d29922", "loses": "#ff7b72", "plain": "#9198a1"}
#: What is written into the two bands, above and below half of the utility above chance.
BANDS = ("more than half of the utility above chance is left", "half or more is lost")
NAME, OPTIONS = 12, 10
LONGEST = 40
LONGEST_LINE = 110
MOST_TICKS = 9


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: text above the panel.
        points: the points that it shows.
        missing: labels of rows without a risk or a utility.
        half: the utility that separates the bands; None where there are none.
        chance: the risk of guessing; None where it is unknown.
    """

    title: str
    points: Sequence[Point]
    missing: Sequence[str] = field(default=())
    half: float | None = None
    chance: float | None = None


def draw(name: str, panels: Sequence[Panel], *, across: str, upward: str) -> str:
    """The figure of a dataset; colours follow the reader's light or dark mode.

    Args:
        name: name of the page.
        panels: from top to bottom.
        across: title of the risk axis.
        upward: title of the utility axis.
    """
    return _template().render(
        name=_printable(name),
        across=across,
        upward=upward,
        width=WIDTH,
        height=PANEL * len(panels),
        marker=MARKER,
        name_size=NAME,
        options_size=OPTIONS,
        light=LIGHT,
        dark=DARK,
        signs=SIGNS,
        panels=[_laid_out(panel, PANEL * number) for number, panel in enumerate(panels)],
    )


def _laid_out(panel: Panel, top: int) -> dict[str, Any]:
    frame = Box(MARGIN_LEFT, top + HEAD, WIDTH - MARGIN_RIGHT, top + PANEL - FOOT)
    risks, utilities = [point.risk for point in panel.points], [point.utility for point in panel.points]
    # Risk from none on, utility from guessing on.
    across = _Axis.over([0.0, 0.1, *risks], frame.left, frame.right)
    upward = _Axis.over([CHANCE_AUC, CHANCE_AUC + 0.1, *utilities], frame.bottom, frame.top)

    def at(point: Point) -> tuple[float, float]:
        return across(point.risk), upward(point.utility)

    grouped = lines(panel.points)
    best = [at(point) for point in front(panel.points)]
    chance = None if panel.chance is None else (across(panel.chance), upward(CHANCE_AUC))
    places = Places(frame)
    places.markers += [_square(*at(point)) for point in panel.points] + ([_square(*chance)] if chance else [])
    for found in grouped.values():
        places.steps += _steps([at(point) for point in found])
    half = None if panel.half is None else upward(panel.half)
    bands = [] if half is None else _bands(half, places)
    labels = list(_labels(panel, grouped, at, chance, places))
    named = {label["text"] for label in labels}
    unnamed = [name for name in grouped if _printable(name) not in named]
    return {
        "title": _printable(panel.title, LONGEST_LINE),
        "top": top,
        "frame": frame,
        "x_ticks": across.ticks(),
        "y_ticks": upward.ticks(),
        "half": half,
        "bands": bands,
        "chance": chance,
        "front": _staircase(best),
        "lines": [
            {
                "path": _path([at(point) for point in found]) if len(found) > 1 else "",
                "points": [(*at(point), point.sound, *_look(point)) for point in found],
            }
            for found in grouped.values()
        ],
        "undefended": [(*at(point), point.sound) for point in panel.points if point.undefended],
        "labels": labels,
        "tiers": [tier.value for tier in Tier if any(point.tier is tier for point in panel.points)],
        "hollow": not all(point.sound for point in panel.points),
        "missing": _printable(", ".join(panel.missing), LONGEST_LINE),
        "unnamed": _printable(", ".join(unnamed), LONGEST_LINE),
    }


def _look(point: Point) -> tuple[str, str]:
    """Shape and class of a point."""
    return ("circle", "plain") if point.tier is None else (SHAPES[point.tier], point.tier.name.lower())


def _bands(half: float, places: Places) -> list[tuple[str, float, float]]:
    """The words of the bands above and below a line, at the right end where that is free: (text, x, y)."""
    frame, found = places.frame, []
    for text, y in zip(BANDS, (half - 6, half + OPTIONS + 4)):
        wide = 0.6 * OPTIONS * len(text)
        choices = [frame.left + 6 + n * (frame.right - frame.left - wide - 12) / 12 for n in range(13)]
        boxes = [Box(x, y - OPTIONS, x + wide, y + 3) for x in choices[::-1]]
        if boxes[0].top < frame.top or boxes[0].bottom > frame.bottom:
            continue
        box = min(boxes, key=places.covered)
        places.labels.append(box)
        found.append((text, box.left, y))
    return found


def _labels(panel: Panel, grouped: dict[str, list[Point]], at: Any, chance: Any, places: Places) -> Iterator[Any]:
    """Names wherever there is a free place, options where there is one close by."""
    wanted = [("undefended", *at(point), "fixed") for point in panel.points if point.undefended]
    if chance is not None:
        wanted.append(("chance", *chance, "fixed"))
    # At the end with the lowest risk, where the lines are apart.
    wanted += [(_printable(name), *at(found[-1]), "name") for name, found in grouped.items()]
    for found in grouped.values():
        if len(found) > 1:
            wanted += [(_printable(point.options), *at(point), "options") for point in found if point.options]
    for text, x, y, kind in wanted:
        size = OPTIONS if kind == "options" else NAME
        placed = places.place(text, x, y, size, needed=kind != "options")
        if placed is not None:
            yield {"text": text, "x": placed.x, "y": placed.y, "kind": kind, "leader": placed.leader}


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    step: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        """An axis that includes all values, with a margin, and has a tick at each multiple of its step."""
        margin = 0.04 * (max(values) - min(values))
        low, high = min(values) - margin, max(values) + margin
        step = next(step for step in (0.02, 0.05, 0.1, 0.2) if high - low <= MOST_TICKS * step or step == 0.2)
        return cls(low, high, step, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        first, last = ceil(round(self.low / self.step, 6)), floor(round(self.high / self.step, 6))
        # No figure is below 0 or above 1.
        values = [round(n * self.step, 2) for n in range(first, last + 1)]
        return [(self(value), f"{value:.2f}") for value in values if 0 <= value <= 1]


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
