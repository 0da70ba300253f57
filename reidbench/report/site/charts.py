"""Figures for plotly.js. A table beside each contains the same numbers, and no line differs by its colour alone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

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
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
    common = {
        "height": height,
        "hovermode": "closest",
        "margin": {"b": 50, "l": 60, "r": 16, "t": 16},
        # An empty one, as the plotly package writes it: it takes the place of the default's colours and lines.
        "template": {"data": {"scatter": [{"type": "scatter"}]}},
        "legend": legend,
        **layout,
    }
    # Not the classes of the plotly package, which validate each property when it is set: that takes longer than all
    # else that makes a page, and a test does it for every figure of a page.
    made: dict[str, Any] = _json({"data": list(traces), "layout": common})
    return made


def scatter(**properties: Any) -> dict[str, Any]:
    """A trace of plotly's type ``scatter``, by the names of its properties; those that are None are left out."""
    return {**_sorted(properties), "type": "scatter"}


def _sorted(properties: dict[str, Any]) -> dict[str, Any]:
    # In one order, whatever the caller's.
    named = sorted((name, value) for name, value in properties.items() if value is not None)
    return {name: _sorted(value) if isinstance(value, dict) else value for name, value in named}


def _json(part: Any) -> Any:
    """The same as JSON types: undefined numbers are null."""
    if isinstance(part, dict):
        return {name: _json(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        # Most are rounded numbers, tens of thousands on a page.
        return [one if type(one) is float and isfinite(one) else _json(one) for one in part]
    if isinstance(part, np.generic):
        part = part.item()
    return None if isinstance(part, float) and not isfinite(part) else part


def line(name: str, x: Sequence[float], y: Sequence[float], number: int, **more: Any) -> Any:
    """A line, the ``number``-th of its figure."""
    style = {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[(number // 2) % len(DASHES)], "width": 2}
    style |= more.pop("line", {})
    return scatter(**{"x": _rounded(x), "y": _rounded(y), "name": plain(name), "mode": "lines", "line": style} | more)


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float], number: int, **more: Any) -> Any:
    """The area between two lines, for an interval."""
    red, green, blue = (int(COLOURS[number % len(COLOURS)][i : i + 2], 16) for i in (1, 3, 5))
    return scatter(
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
