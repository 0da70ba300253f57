"""What carries identity, as a small plot: each part alone and all without it, beside the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from reidbench.records.parts.common import Interval
from reidbench.studies.bands import Bands, PartFigures

LEFT, PANEL, GAP, RIGHT = 150, 260, 34, 20
HEAD, ROW, FOOT = 46, 30, 62
#: Each panel's title, lowest and highest value, and steps between its lines.
PANELS = (("AUC", 0.4, 1.0, 6), ("mAP@R", 0.0, 1.0, 5))


@dataclass(frozen=True)
class _Mark:
    x: float
    y: float
    low: float | None
    high: float | None
    alone: bool


def draw_bands(bands: Bands) -> str:
    """The plot as SVG; its colours follow the reader's light or dark mode."""
    height = HEAD + ROW * len(bands.parts) + FOOT
    bottom = height - FOOT
    panels: list[dict[str, Any]] = []
    for number, (title, low, high, steps) in enumerate(PANELS):
        left = LEFT + number * (PANEL + GAP)

        def across(value: float, left: int = left, low: float = low, high: float = high) -> float:
            return left + PANEL * (min(max(value, low), high) - low) / (high - low)

        marks = []
        for row, part in enumerate(bands.parts):
            for found, alone in ((part.alone, True), (part.without, False)):
                shown = _shown(found, title)
                if shown.value is not None:
                    ends = [None if end is None else across(end) for end in (shown.low, shown.high)]
                    y = HEAD + ROW * (row + 0.5) + (-5 if alone else 5)
                    marks.append(_Mark(across(shown.value), y, ends[0], ends[1], alone))
        whole = _shown(bands.whole, title).value
        chance = 0.5 if title == "AUC" else bands.chance
        panels.append(
            {
                "title": title,
                "left": left,
                "right": left + PANEL,
                "ticks": [
                    (across(value), f"{value:.1f}")
                    for value in (low + (high - low) * n / steps for n in range(steps + 1))
                ],
                "marks": marks,
                "whole": None if whole is None else across(whole),
                "chance": None if chance is None else across(chance),
            }
        )
    return _template().render(
        width=LEFT + 2 * PANEL + GAP + RIGHT,
        height=height,
        top=HEAD,
        bottom=bottom,
        names=[(part.name, HEAD + ROW * (row + 0.5) + 4) for row, part in enumerate(bands.parts)],
        rules=[HEAD + ROW * row for row in range(1, len(bands.parts))],
        label=LEFT - 10,
        panels=panels,
    )


def _shown(found: PartFigures, title: str) -> Interval:
    """The figure of a panel; of several folds the mean AUC, between the lowest and the highest."""
    if title != "AUC":
        return found.map_at_r
    if len(found.auc) == 1:
        return found.auc[0]
    known: Sequence[float] = [one.value for one in found.auc if one.value is not None]
    if not known:
        return Interval(value=None, low=None, high=None)
    return Interval(value=fmean(known), low=min(known), high=max(known))


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
    return environment.get_template("bands.svg.jinja")
