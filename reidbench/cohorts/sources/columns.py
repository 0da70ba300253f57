"""What published tables and DICOM headers write in a field, in the words of a cohort; anything else is unknown.

Nothing becomes unknown in silence: :func:`understood` counts what was read of a column, and each value that was not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Understood
from reidbench.cohorts.notes import Note
from reidbench.errors import ReidbenchError

# The first publication of ChestX-ray14 had ages up to 414, which are typing errors.
_OLDEST = 120
#: What tables write where a value is missing, in small letters.
MISSING = frozenset(
    [
        "nan",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "n.a.",
        "none",
        "null",
        "nil",
        "nat",
        "?",
        "??",
        "???",
        "-",
        "--",
        "---",
        ".",
        "unknown",
        "unk",
        "undefined",
        "undetermined",
        "missing",
        "nd",
        "n.d.",
        "unbekannt",
        "desconocido",
        "inconnu",
        "",
        "not available",
        "not known",
        "not specified",
    ]
)
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
# Said, and neither of the two: as unknown, and no value that was not understood.
_OTHER_SEX = frozenset(("o", "other", "x", "u", "divers", "diverse"))
_VIEWS = {
    "pa": "PA",
    "ap": "AP",
    "ap supine": "AP",
    "ap erect": "AP",
    "ap horizontal": "AP",
    "ap upright": "AP",
    "ap portable": "AP",
    "ap sitting": "AP",
    "pa erect": "PA",
    "pa upright": "PA",
    "posteroanterior": "PA",
    "postero anterior": "PA",
    "posterior anterior": "PA",
    "anteroposterior": "AP",
    "antero posterior": "AP",
    "anterior posterior": "AP",
}
_LATERAL = re.compile(r"l|ll|rl|lat|xtable|(.* )?(lateral|lat)( .*)?|(lateral|lat)")
_DAYS_PER_YEAR = {"y": 1.0, "m": 12.0, "w": 52.18, "d": 365.25}
_AGE = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>(?P<y>y|yrs?|years?|yo|y/o|y\.o\.|years? old|jahre?|años?|anos?|ans?)|"
    r"(?P<m>m|mos?|months?)|(?P<w>w|wks?|weeks?)|(?P<d>d|days?))?\.?"
)
# A life in days: images further apart are not of one patient.
_LIFE = 45_000
# Days since year 1 are below a million; a number of eight digits is a date.
_LARGEST_DAY = 1_000_000
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0+)?")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?")


def missing(text: pd.Series) -> pd.Series:
    """Where a column says nothing, or one of the usual words for nothing: (N,) bool."""
    told: pd.Series = text.isna() | text.astype("string").str.strip().str.lower().isin(MISSING).fillna(False)
    return told.astype(bool)


def years(text: pd.Series) -> pd.Series:
    """``58``, ``58.4``, ``58,4``, ``46 years``, or DICOM's ``058Y``, ``011M``, ``002W``, ``013D`` as years.

    Over 120 is unknown, as is a bound such as ``>89``.
    """
    codes, unique = pd.factorize(text)
    table = np.array([*(_years(str(value)) for value in unique), np.nan])
    return pd.Series(table[codes], index=text.index, name=text.name)


def _years(text: str) -> float:
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        return np.nan
    age = float(found["number"].replace(",", "."))
    unit = next((name for name in _DAYS_PER_YEAR if found[name]), "y")
    if unit != "y":
        # Units finer than a year are for infants, whose age in whole years is as good as the others'.
        age = float(np.floor(age / _DAYS_PER_YEAR[unit]))
    return age if age <= _OLDEST else np.nan


def sexes(text: pd.Series) -> pd.Series:
    """``M``, ``male``, ``F``, ``female`` in any case as M and F."""
    return text.str.strip().str.lower().map(_SEXES)


def views(text: pd.Series) -> pd.Series:
    """``PA`` and ``AP``, also where one is said to be supine, erect or horizontal; lateral views are unknown."""
    return _plain(text).map(_VIEWS)


def lateral(text: pd.Series) -> pd.Series:
    """Where a view is said to be lateral: ``L``, ``LL``, ``RL``, ``lateral``, ``XTABLE LATERAL``; (N,) bool."""
    plain = _plain(text)
    # A patient who lies on the side for a frontal view.
    return (plain.str.fullmatch(_LATERAL) & ~plain.str.contains("decubitus")).fillna(False).astype(bool)


def _plain(text: pd.Series) -> pd.Series:
    return text.astype("str").str.strip().str.lower().str.replace(r"[\s_.\-]+", " ", regex=True)


def mapped(text: pd.Series, values: Mapping[str, str]) -> pd.Series:
    """A column with some of its values (whole, in any case) exchanged for others."""
    if not values:
        return text
    lower = {key.strip().lower(): value for key, value in values.items()}
    known = text.str.strip().str.lower()
    return text.where(~known.isin(lower), known.map(lower))


def value_map(option: str, text: str) -> dict[str, str]:
    """``0=F|1=M`` as a mapping.

    Raises:
        ReidbenchError: a part has no equals sign; ``option`` names it.
    """
    pairs = {}
    for part in filter(None, text.split("|")):
        # The last sign: a value such as >=90 has one of its own.
        value, equals, meaning = part.rpartition("=")
        if not equals or not value.strip():
            raise ReidbenchError(f"option {option}: {part!r} does not have the form VALUE=MEANING, as in 0=F|1=M")
        pairs[value.strip()] = meaning.strip()
    return pairs


def understood(column: str, text: pd.Series, values: pd.Series) -> Understood:
    """What was read of a column.

    Args:
        column: its role: sex, age, view.
        text: as the table has it, after mapping.
        values: what was made of it, NaN where unknown.
    """
    plain = text.astype("string").str.strip()
    known, unknown = values.notna().to_numpy(dtype=bool), missing(text).to_numpy()
    other, called = np.zeros(len(text), dtype=bool), ""
    if column == "sex":
        other, called = plain.str.lower().isin(_OTHER_SEX).fillna(False).to_numpy(dtype=bool), "neither M nor F"
    if column == "view":
        other, called = lateral(text).to_numpy(), "lateral"
    strange = plain[~known & ~unknown & ~other].value_counts()
    return Understood(
        column,
        known=int(known.sum()),
        unknown=int((unknown & ~known).sum()),
        strange={str(value): int(count) for value, count in strange.items()},
        others={called: int(other.sum())} if other.any() else {},
    )


def not_understood(found: Understood, hint: str = "") -> list[str]:
    """A note on values that count as unknown since they were not understood; none where all were."""
    if not found.strange:
        return []
    named = ", ".join(f"{value!r} ({count:,})" for value, count in list(found.strange.items())[:8])
    more = f" and {len(found.strange) - 8:,} more" if len(found.strange) > 8 else ""
    told = f"{found.column}: {sum(found.strange.values()):,} values are not understood and count as unknown{hint}"
    return [Note(told, f"{named}{more}")]


def day_numbers(text: pd.Series, lines: list[int], where: str) -> pd.Series:
    """Days as numbers, or dates as numbers of days: (N,) float64, NaN where missing.

    Args:
        text: days from whatever day, or dates as yyyy-mm-dd (a time behind it is not used) or yyyymmdd.
        lines: the line of each row, for the error.
        where: names the file and the column.

    Raises:
        ReidbenchError: a value is neither, or a column holds both.
    """
    told = ~missing(text)
    kinds: dict[str, int] = {}
    found = np.full(len(text), np.nan)
    for row in np.flatnonzero(told):
        value = str(text.iloc[row]).strip()
        kind, day = _day(value)
        if kind is None:
            raise ReidbenchError(
                f"{where}, line {lines[row]}: {text.name} {value!r} is not a number of days and no date "
                "(yyyy-mm-dd or yyyymmdd)"
            )
        kinds.setdefault(kind, int(row))
        found[row] = day
    if len(kinds) > 1:
        names, (one, other) = list(kinds), list(kinds.values())[:2]
        raise ReidbenchError(
            f"{where}, line {lines[other]}: {text.name} {str(text.iloc[other])!r} is a {names[1]} where line "
            f"{lines[one]} has a {names[0]}: {str(text.iloc[one])!r}"
        )
    return pd.Series(found, index=text.index)


def dates(text: pd.Series) -> pd.Series:
    """Published dates (yyyy-mm-dd, yyyymmdd) as numbers of days: (N,) float64, NaN where one is missing or is none."""
    codes, unique = pd.factorize(text)
    found = [day if kind == "date" else np.nan for kind, day in map(_day, map(str, unique))]
    return pd.Series(np.array([*found, np.nan])[codes], index=text.index)


def _day(text: str) -> tuple[str | None, float]:
    compact = _COMPACT.fullmatch(text)
    parts = compact or _ISO.fullmatch(text)
    if parts is not None:
        try:
            return "date", float(date(*(int(part) for part in parts.groups())).toordinal())
        except ValueError:
            return None, np.nan
    try:
        number = float(text)
    except ValueError:
        return None, np.nan
    return ("number of days", number) if abs(number) <= _LARGEST_DAY else (None, np.nan)


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
