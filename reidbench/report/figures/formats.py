"""Figures as short text, the same on every page: three digits, intervals, marks for undefined values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reidbench.records.parts.common import Interval
from reidbench.records.schema import PostProcessing
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.paired.drops import Find
from reidbench.report.figures.summary import Worst

#: False positive rates at which a table shows a ROC curve.
SHOWN_RATES = (0.001, 0.01, 0.1, 0.5)
#: Marks a figure without an interval if the record says why it has none.
UNBOUNDED = "†"


def over_the_seeds(row: Row, find: Find, worst: Worst | None) -> str:
    """A worst case with its interval; for several seeds the mean, standard deviation and maximum."""
    if worst is None:
        return "–"
    text = figure(worst.figure)
    if len(row.records) == 1:
        return text
    return f"{number(row.mean(find))} ± {number(row.spread(find))}, max {text}"


def figure(interval: Interval | None) -> str:
    """A figure with its interval: ``0.912 [0.883, 0.941]``; a dash where it is undefined.

    All three have the same number of digits: otherwise rounding could put a figure outside its own interval. A dagger
    marks a figure that has no interval for a known reason; :func:`unbounded` gives the reason.
    """
    if interval is None or interval.value is None:
        return "–"
    if interval.low is None or interval.high is None:
        return number(interval.value) + (f" {UNBOUNDED}" if interval.why_unbounded else "")
    return f"{interval.value:z.3f} [{interval.low:z.3f}, {interval.high:z.3f}]"


def unbounded(intervals: Iterable[Interval]) -> str:
    """The reasons behind daggers, each once; empty if no figure has one."""
    reasons = dict.fromkeys(one.why_unbounded for one in intervals if one.why_unbounded)
    return f"{UNBOUNDED} {'; '.join(reason for reason in reasons if reason)}." if reasons else ""


def number(value: float | None) -> str:
    """Three digits, and no minus before a zero; a dash where it is undefined."""
    return "–" if value is None else f"{value:z.3f}"


#: The ways in which scores are revised, for a reader.
WAYS = {"reciprocal": "k-reciprocal re-ranking", "expansion": "database augmentation and query expansion"}


def post_processing_text(found: PostProcessing) -> str:
    """How scores were revised, and what that did on validation images."""
    if found.method == "off":
        return f"the scores of {found.base}: no way to revise them was better on validation images"
    options = ", ".join(f"{name} {value:g}" for name, value in found.options.items())
    gain = f"validation mAP@R {number(found.map_at_r_off)} → {number(found.map_at_r)}"
    return f"{WAYS[found.method]} of {found.base} ({options}); {gain}"


def intervals_told(table: Sequence[Row]) -> list[str]:
    """What is to be known of the intervals of a table whose rows have them by earlier definitions."""
    old = [row for row in table if any(record.definitions < 2 for record in row.records)]
    if not old:
        return []
    whose = "all rows" if len(old) == len(table) else f"{len(old)} of {len(table)} rows"
    return [
        f"Intervals of {whose} are of earlier versions: those of mAP@R resample probes against a fixed gallery and are "
        "too narrow, and those of an AUC of 1 have no width."
    ]
