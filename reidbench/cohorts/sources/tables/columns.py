"""What published tables and DICOM headers write in a field, in the words of a cohort; anything else is unknown.

Nothing becomes unknown in silence: :func:`understood` counts what was read of a column, and each value that was not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Understood
from reidbench.cohorts.notes import Note
from reidbench.cohorts.sources.tables.missing import folded, missing
from reidbench.errors import ReidbenchError

# The first publication of ChestX-ray14 had ages up to 414, which are typing errors.
_OLDEST = 120
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
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", re.IGNORECASE)
# What tables write for a finding that is there, is not, or may be.
_FINDINGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "present", "positive", "pos"), 1.0),
    **dict.fromkeys(("false", "f", "no", "n", "absent", "negative", "neg"), 0.0),
    **dict.fromkeys(("uncertain", "unsure", "equivocal", "possible", "maybe", "suspected", "indeterminate", "u"), -1.0),
}
#: The values of the option ``uncertain``.
UNCERTAIN = {"zeros": 0.0, "ones": 1.0, "unknown": np.nan}


def number(text: str) -> float:
    """A finite number as people and programs write one; NaN for anything else, also for ``inf`` and ``1_000``."""
    found = float(text) if _NUMBER.fullmatch(text) else np.nan
    return found if np.isfinite(found) else np.nan


def numbers(text: pd.Series) -> pd.Series:
    """A column of numbers, (N,) float64, NaN where one is missing or is none."""
    return _each(text, number)


def findings(text: pd.Series, uncertain: str) -> pd.Series:
    """A column of findings, (N,) float64: 0, 1, or another number as it stands; NaN where missing or not understood.

    Args:
        text: 1, 0 and -1 (uncertain), or words such as ``yes``, ``absent``, ``uncertain``.
        uncertain: what an uncertain finding counts as: zeros, ones, unknown.
    """

    def read(value: str) -> float:
        found = _FINDINGS.get(value.casefold(), number(value))
        return UNCERTAIN[uncertain] if found == -1 else found

    return _each(text, read)


def findings_not_understood(text: pd.Series) -> pd.Series:
    """Where a column of findings has a value that is neither missing nor understood: (N,) bool."""
    return findings(text, "zeros").isna() & ~missing(text)


def _each(text: pd.Series, read: Callable[[str], float]) -> pd.Series:
    """A column read value by value, each value once: (N,) float64."""
    codes, unique = pd.factorize(text)
    table = np.array([*(read(folded(str(value))) for value in unique), np.nan], dtype=np.float64)
    return pd.Series(table[codes], index=text.index, name=text.name)


def years(text: pd.Series) -> pd.Series:
    """``58``, ``58.4``, ``58,4``, ``46 years``, or DICOM's ``058Y``, ``011M``, ``002W``, ``013D`` as years.

    Over 120 is unknown, as is a bound such as ``>89``.
    """
    return _each(text, _years)


def _years(text: str) -> float:
    found = _AGE.fullmatch(text.lower())
    if found is None:
        return np.nan
    age = float(found["number"].replace(",", "."))
    unit = next((name for name in _DAYS_PER_YEAR if found[name]), "y")
    if unit != "y":
        # Units finer than a year are for infants, whose age in whole years is as good as the others'.
        age = float(np.floor(age / _DAYS_PER_YEAR[unit]))
    return age if age <= _OLDEST else np.nan


def sexes(text: pd.Series) -> pd.Series:
    """``M``, ``male``, ``F``, ``female`` in any case as M and F.

    Beside ``H`` (hombre) or ``V`` (varón), and without an F, an ``M`` may be a woman (mujer): it is not understood.
    """
    codes, unique = pd.factorize(text)
    words = [folded(str(value)).lower() for value in unique]
    known = dict(_SEXES)
    if not {"f", "female"} & set(words) and {"h", "v"} & set(words):
        del known["m"]
    table = np.array([*(known.get(word) for word in words), None], dtype=object)
    return pd.Series(table[codes], index=text.index, name=text.name, dtype=object)


def views(text: pd.Series) -> pd.Series:
    """``PA`` and ``AP``, also where one is said to be supine, erect or horizontal; lateral views are unknown."""
    return _plain(text).map(_VIEWS)


def lateral(text: pd.Series) -> pd.Series:
    """Where a view is said to be lateral: ``L``, ``LL``, ``RL``, ``lateral``, ``XTABLE LATERAL``; (N,) bool."""
    plain = _plain(text)
    # A patient who lies on the side for a frontal view.
    return (plain.str.fullmatch(_LATERAL) & ~plain.str.contains("decubitus")).fillna(False).astype(bool)


def _plain(text: pd.Series) -> pd.Series:
    return _folded(text).str.lower().str.replace(r"[\s_.\-]+", " ", regex=True).str.strip()


def _folded(text: pd.Series) -> pd.Series:
    codes, unique = pd.factorize(text)
    table = np.array([*(folded(str(value)) for value in unique), None], dtype=object)
    return pd.Series(table[codes], index=text.index, name=text.name).astype("string")


def folded_words(text: pd.Series) -> pd.Series:
    """A column of words in small letters, empty where missing: (N,) str."""
    return _folded(text).str.lower().fillna("").astype(object)


def mapped(text: pd.Series, values: Mapping[str, str]) -> pd.Series:
    """A column with some of its values (whole, in any case) exchanged for others."""
    if not values:
        return text
    lower = {folded(key).lower(): value for key, value in values.items()}
    known = _folded(text).str.lower().astype(object)
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
    plain = _folded(text)
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
