"""Figures for plotly.js. A table beside each contains the same numbers, and no line differs by its colour alone."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io

from reidbench.report.pictures.plots import COLOURS, DASHES


@dataclass(frozen=True)
class Table:
    """The numbers that a figure shows.

    Attributes:
        head: column headings.
        body: rows of ready text.
    """

    head: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A figure of a page.

    Attributes:
        name: unique on its page.
        title: its heading.
        caption: explains it.
        spec: data and layout for plotly.js, JSON-ready.
        table: the same in numbers.
    """

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    table: Table


def plain(text: str) -> str:
    """Escapes text for plotly.js, which interprets some markup, such as links, in names and labels."""
    return html.escape(text, quote=False)


def figure(traces: Sequence[Any], *, height: int = 420, **layout: Any) -> dict[str, Any]:
    """Data and layout, JSON-ready; fonts and grid are set in the browser, to the reader's colour scheme."""
    common = go.Layout(template={}, height=height, margin={"l": 60, "r": 16, "t": 16, "b": 50}, hovermode="closest")
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
    common.update(legend=legend, **layout)
    # Not go.Figure, which copies and validates once more what its parts validated when they were made; that takes
    # longer than all else that makes a page. plotly converts NumPy numbers and NaN, which are no valid JSON.
    spec = {"data": [trace.to_plotly_json() for trace in traces], "layout": common.to_plotly_json()}
    made: dict[str, Any] = json.loads(plotly.io.to_json(spec, validate=False, engine="json"))
    return made


def line(name: str, x: Sequence[float], y: Sequence[float], number: int, **more: Any) -> Any:
    """A line, the ``number``-th of its figure."""
    style = {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[(number // 2) % len(DASHES)], "width": 2}
    style |= more.pop("line", {})
    return go.Scatter(x=_rounded(x), y=_rounded(y), name=plain(name), mode="lines", line=style, **more)


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float], number: int, **more: Any) -> Any:
    """The area between two lines, for an interval."""
    red, green, blue = (int(COLOURS[number % len(COLOURS)][i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=[*_rounded(x), *_rounded(x)[::-1]],
        y=[*_rounded(high), *_rounded(low)[::-1]],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.2)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        **more,
    )


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [None if value != value else float(f"{value:.5g}") for value in values]
