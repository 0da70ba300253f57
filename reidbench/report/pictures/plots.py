"""Colours, line styles, symbols and error bars of all plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reidbench.records.parts.common import Interval

# Contrast of at least 3:1 against both the light and the dark background (WCAG 1.4.11).
COLOURS = ("#2f7fc1", "#d5591b", "#1d9a6c", "#b8609f", "#8567d0", "#9a7420", "#808a91", "#cc4b5c")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")


def error_bars(figures: Sequence[Interval | None]) -> dict[str, Any]:
    """plotly's ``error_x`` or ``error_y`` of figures with their intervals; no bar where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [_length(one.value, one.high) if one else 0.0 for one in figures],
        "arrayminus": [_length(one.low, one.value) if one else 0.0 for one in figures],
    }


def _length(lower: float | None, upper: float | None) -> float:
    return 0.0 if upper is None or lower is None else max(0.0, upper - lower)
