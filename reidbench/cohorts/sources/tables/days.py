"""Days and dates of table fields as numbers of days. What is neither is refused, or counted: none is a follow-up."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Understood
from reidbench.cohorts.sources.tables import columns
from reidbench.cohorts.sources.tables.missing import folded, missing
from reidbench.errors import ReidbenchError

# A life in days: images further apart are not of one patient.
_LIFE = 45_000
# Days since year 1 are below a million; a number of eight digits is a date.
_LARGEST_DAY = 1_000_000
# X-rays are known since 1895. Published dates may be shifted by a thousand years, as BRAX's are.
_FIRST_YEAR, _LAST_YEAR = 1896, 9998
# What systems write where they know no date.
_NO_DATE = date(1900, 1, 1)
# Numbers of four digits that are taken for years.
_YEARS = (_FIRST_YEAR, 2299)

_ZONE = r"(?:z|utc|[+-]\d{2}(?::?\d{2})?)"
_TIME = rf"(?:[T ]\s*(?:[01]?\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d+)?)?(?:\s*[ap]m)?\s*{_ZONE}?)?"
_ISO = re.compile(rf"(\d{{4}})(?P<mark>[-./])(\d{{1,2}})(?P=mark)(\d{{1,2}}){_TIME}", re.IGNORECASE)
# DICOM's date, or date and time in one.
_COMPACT = re.compile(
    r"(\d{4})(\d{2})(\d{2})(?:\.0+|[T ]?(?:[01]\d|2[0-3])[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d+)?)?(?:z|[+-]\d{4})?)?",
    re.IGNORECASE,
)
_SIX = re.compile(r"(\d{2})(\d{2})(\d{2})(?:\.0+)?")
_FORMS = "yyyy-mm-dd, yyyy/mm/dd, yyyy.mm.dd or yyyymmdd"


def day_numbers(text: pd.Series, lines: list[int], where: str) -> pd.Series:
    """Days as numbers, or dates as numbers of days: (N,) float64, NaN where missing.

    Args:
        text: days from whatever day, or dates as yyyy-mm-dd (also with dots or slashes; a time of day behind it is not
            used) or yyyymmdd.
        lines: the line of each row, for the error.
        where: names the file and the column.

    Raises:
        ReidbenchError: a value is neither, a column holds both, or its numbers are years, months or dates with years of
            two digits.
    """
    told = ~missing(text)
    kinds: dict[str, int] = {}
    found = np.full(len(text), np.nan)
    for row in map(int, np.flatnonzero(told)):
        value = folded(str(text.iloc[row]))
        kind, day = _day(value)
        if kind is None:
            raise ReidbenchError(
                f"{where}, line {lines[row]}: {text.name} {value!r} is not a number of days and no date ({_FORMS})"
            )
        kinds.setdefault(kind, row)
        found[row] = day
    if len(kinds) > 1:
        names, (one, other) = list(kinds), list(kinds.values())[:2]
        raise ReidbenchError(
            f"{where}, line {lines[other]}: {text.name} {str(text.iloc[other])!r} is a {names[1]} where line "
            f"{lines[one]} has a {names[0]}: {str(text.iloc[one])!r}"
        )
    if "number of days" in kinds and (what := _no_days([folded(str(value)) for value in text[told]])):
        row = int(np.flatnonzero(told)[0])
        raise ReidbenchError(
            f"{where}, line {lines[row]}: {text.name} {str(text.iloc[row])!r} and the other values look like {what}, "
            f"not days: write dates as {_FORMS}"
        )
    return pd.Series(found, index=text.index)


def dates(text: pd.Series) -> tuple[pd.Series, Understood]:
    """Published dates as numbers of days: (N,) float64, NaN where one is missing or is none; and what was read."""
    codes, unique = pd.factorize(text)
    read = [day if kind == "date" else np.nan for kind, day in (_day(folded(str(value))) for value in unique)]
    found = pd.Series(np.array([*read, np.nan])[codes], index=text.index, name=text.name)
    return found, columns.understood("days", text, found)


def offsets(text: pd.Series) -> tuple[pd.Series, Understood]:
    """Published numbers of days: (N,) float64, NaN where one is missing or is none; and what was read."""
    found = columns.numbers(text)
    return found, columns.understood("days", text, found)


def since_first(values: pd.Series, patients: pd.Series) -> pd.Series:
    """Numbers less the smallest of each patient."""
    first: pd.Series = values.groupby(patients).transform("min")
    return values - first


def require_a_life(days: pd.Series, patients: pd.Series, name: str) -> None:
    """Refuses days since the first image that no life is long enough for: they are not in days.

    Raises:
        ReidbenchError: naming the patient and the span.
    """
    if len(days) and days.max() > _LIFE:
        row = int(np.nanargmax(days.to_numpy(dtype=np.float64)))
        raise ReidbenchError(
            f"{name}: images of patient {patients.iloc[row]!r} are {days.iloc[row]:,.0f} days apart, which no life is: "
            "the column holds something else than days"
        )


def _day(text: str) -> tuple[str | None, float]:
    parts = _COMPACT.fullmatch(text) or _ISO.fullmatch(text)
    if parts is not None:
        found = _date(*(int(part) for part in parts.groups() if part and part.isdecimal()))
        return ("date", float(found.toordinal())) if found else (None, np.nan)
    number = columns.number(text)
    return ("number of days", number) if abs(number) <= _LARGEST_DAY else (None, np.nan)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found if _FIRST_YEAR <= year <= _LAST_YEAR and found != _NO_DATE else None


def _no_days(values: list[str]) -> str | None:
    """What a column of numbers is instead of days; None where they may be days."""
    numbers = [columns.number(value) for value in values]
    if all(_YEARS[0] <= number <= _YEARS[1] for number in numbers):
        return "years"
    six = [parts for value in values if (parts := _SIX.fullmatch(value)) is not None]
    if len(six) * 2 <= len(values):
        return None
    months = sum(_YEARS[0] <= int(a + b) <= _YEARS[1] and 1 <= int(c) <= 12 for a, b, c in (p.groups() for p in six))
    short = sum(any(_two_digits(*order) for order in _orders(*map(int, parts.groups()))) for parts in six)
    if months * 2 > len(six):
        return "months (yyyymm)"
    return "dates with years of two digits" if short * 2 > len(six) else None


def _orders(one: int, two: int, three: int) -> tuple[tuple[int, int, int], ...]:
    """As year, month and day: yymmdd, ddmmyy, mmddyy."""
    return (one, two, three), (three, two, one), (three, one, two)


def _two_digits(year: int, month: int, day: int) -> bool:
    return _date(2000 + year, month, day) is not None
