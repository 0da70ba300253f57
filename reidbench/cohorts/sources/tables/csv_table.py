"""CSV tables read strictly: a line with a field too many shifts every column behind it, and must never pass.

pandas drops what is too much, or takes the first column for an index, and a quote that is not closed swallows the rows
behind it. Here each line is counted against the header, so that an error names its line.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from reidbench.cohorts.notes import Note
from reidbench.errors import ReidbenchError

#: Longest field in characters: a quote that is not closed must not swallow a whole file.
_LONGEST = 1_000_000
_NAMED = 3
#: Between fields; of two that separate as many, the first.
_MARKS = (",", ";", "\t", "|")
_SEPARATOR = re.compile(r'[\ufeff\s]*"?sep=(?P<mark>[,;|\t])"?[,;\t ]*(?:\r\n|\r|\n)', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class CsvTable:
    """Columns of a CSV as text.

    Attributes:
        frame: stripped text, NaN where a field is empty; an index 0..N-1.
        lines: the line of the file on which each row begins, from 1.
        notes: what a person must know of it, a line each.
    """

    frame: pd.DataFrame
    lines: list[int]
    notes: tuple[str, ...] = field(default=())


def csv_columns(path: Path, *, where: str) -> list[str]:
    """The column names of a CSV.

    Raises:
        ReidbenchError: the file is missing or no CSV; ``where`` names the dataset.
    """
    return _Reader(path, where).header


def read_csv(path: Path, columns: Iterable[str], *, where: str) -> pd.DataFrame:
    """The named columns of a CSV as text, as :func:`read_table` reads them."""
    return read_table(path, columns, where=where).frame


def read_table(path: Path, columns: Iterable[str], *, where: str) -> CsvTable:
    """The named columns of a CSV (plain or .gz, separated by commas, semicolons, tabs or bars) as text.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a mark.
        columns: what it must have; other columns are counted and not kept.
        where: the dataset, for the error.

    Raises:
        ReidbenchError: the file is missing or no text, a column is missing or comes twice, a line has another number of
            fields than the header, or a quote is not closed.
    """
    reader = _Reader(path, where)
    wanted = list(columns)
    for column in wanted:
        if column not in reader.header:
            raise ReidbenchError(f"{where}: {path} has no column {column!r} (it has {', '.join(reader.header[:12])})")
        if reader.header.count(column) > 1:
            raise ReidbenchError(f"{where}: {path} has the column {column!r} {reader.header.count(column)} times")
    places = [reader.header.index(column) for column in wanted]
    values: list[list[str | None]] = [[] for _ in wanted]
    lines = []
    for line, row in reader.rows(frozenset(places)):
        lines.append(line)
        for cells, place in zip(values, places):
            cells.append(clean(row[place]) or None)
    frame = pd.DataFrame({name: pd.Series(column, dtype=str) for name, column in zip(wanted, values)})
    return CsvTable(frame, lines, reader.notes())


def clean(text: str) -> str:
    """Text without blanks around it, also those that no one sees, in one Unicode form."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text).strip().strip("\u200b\u2060\ufeff").strip()


class _Reader:
    """One file, its header read."""

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        text = self._text()
        # What spreadsheets write in front to say how the fields are separated; its line counts, its fields do not.
        told = _SEPARATOR.match(text)
        self._before = 1 if told else 0
        text = text[told.end() :] if told else text
        self.mark = told["mark"] if told else _separator(text)
        self._csv = csv.reader(io.StringIO(text, newline=""), delimiter=self.mark, strict=True)
        self._spanning: list[str] = []
        header = next((row for _, row in self._raw()), [])
        while header and not header[-1].strip():
            header.pop()
        if not header:
            raise ReidbenchError(f"{where}: {path} is not a readable CSV: it has no header")
        self.header = [clean(name) for name in header]

    def rows(self, used: frozenset[int]) -> Iterator[tuple[int, list[str]]]:
        """Every row with the line on which it begins; each has as many fields as the header."""
        count = len(self.header)
        for line, row in self._raw():
            if not any(text.strip() for text in row):
                continue
            if len(row) > count and not any(text.strip() for text in row[count:]):
                row = row[:count]  # A mark too many at the end, as some publishers write it.
            if len(row) != count:
                raise ReidbenchError(
                    f"{self.where}: {self.path}, line {line} has {len(row)} fields where the header has {count}; a "
                    f"text with {'a comma' if self.mark == ',' else 'the separator'} in it must stand in quotes"
                )
            last = self._before + self._csv.line_num
            if last > line:
                self._check_span(row, line, last, used)
            yield line, row

    def notes(self) -> tuple[str, ...]:
        """A line on fields that span lines, if any do."""
        if not self._spanning:
            return ()
        more = f"; and {len(self._spanning) - _NAMED:,} more" if len(self._spanning) > _NAMED else ""
        named = "; ".join(self._spanning[:_NAMED])
        return (Note(f"{len(self._spanning):,} fields of the table span several lines", f"{named}{more}"),)

    def _check_span(self, row: list[str], line: int, last: int, used: frozenset[int]) -> None:
        for place, text in enumerate(row):
            # Files of old Macs end their lines in a carriage return alone.
            breaks = len(_LINE_END.findall(text))
            if not _LINE_END.search(text.strip()):
                continue
            name = self.header[place]
            # A quote that opens in one row and closes in the same column of another holds just so many separators.
            swallowed = text.count(self.mark) == breaks * (len(self.header) - 1)
            if swallowed or place in used:
                raise ReidbenchError(
                    f"{self.where}: {self.path}, line {line}: the field {name!r} spans lines {line} to {last}: is a "
                    "quote in it not closed?"
                )
            self._spanning.append(f"{name!r}, lines {line} to {last}")

    def _raw(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            line = self._before + self._csv.line_num + 1
            try:
                row = next(self._csv)
            except StopIteration:
                return
            except csv.Error as error:
                what = "a quote is opened and not closed" if "end of data" in str(error) else str(error)
                raise ReidbenchError(
                    f"{self.where}: {self.path} is not a readable CSV: the row that begins in line {line}: {what}"
                ) from error
            yield line, row

    def _text(self) -> str:
        try:
            raw = self.path.read_bytes()
            if self.path.suffix == ".gz" or raw[:2] == b"\x1f\x8b":
                raw = gzip.decompress(raw)
            # utf-8-sig: spreadsheets put a mark in front.
            text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except FileNotFoundError as error:
            raise ReidbenchError(f"{self.where}: {self.path} is missing") from error
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            raise ReidbenchError(
                f"{self.where}: {self.path} is not a readable CSV: line {line} is not in UTF-8; save it as UTF-8"
            ) from error
        except (ValueError, EOFError, OSError) as error:
            raise ReidbenchError(f"{self.where}: {self.path} is not a readable CSV: {error}") from error
        if "\0" in text:
            raise ReidbenchError(f"{self.where}: {self.path} is not a readable CSV: it holds null characters")
        return text


def _separator(text: str) -> str:
    """The mark that separates the most columns of the first line; a comma where none does."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = _QUOTED.sub("", first)
    return max(_MARKS, key=outside.count)


csv.field_size_limit(_LONGEST)
