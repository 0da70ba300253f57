"""CSV: a text from a record or a table never becomes a formula where a spreadsheet opens the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from reidbench.records.parts.common import DIGITS

if TYPE_CHECKING:
    import pandas as pd

# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(value: Any) -> Any:
    """The value of a cell; a text that a spreadsheet would compute has an apostrophe in front. None is empty.

    A float has as many significant digits as a record's figures, so that 0.7 - 0.6 is 0.1.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV file: one line for the headings and one for each row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(plain_cell, head))
    writer.writerows(map(plain_cell, row) for row in rows)
    return stream.getvalue()


def frame_text(frame: pd.DataFrame) -> str:
    """A table as a CSV file without its index, figures with six digits."""
    texts = frame.select_dtypes(exclude=["number", "bool"]).columns
    safe = frame.assign(**{str(name): frame[name].map(plain_cell) for name in texts})
    return safe.rename(columns=plain_cell).to_csv(index=False, lineterminator="\n", float_format="%.6g")
