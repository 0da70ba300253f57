"""What published tables and DICOM headers write in a field, in the words of a cohort; anything else is unknown."""

from __future__ import annotations

import numpy as np
import pandas as pd

# The first publication of ChestX-ray14 had ages up to 414, which are typing errors.
_OLDEST = 120
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
_VIEWS = {"pa": "PA", "ap": "AP", "ap supine": "AP", "ap erect": "AP"}


def years(text: pd.Series) -> pd.Series:
    """``58``, ``58.4``, or DICOM's ``058Y``, ``011M``, ``002W``, ``013D`` as years; over 120 is unknown."""
    parts = text.str.extract(r"^\s*(\d+(?:\.\d+)?)\s*([YMWD]?)\s*$")
    units = parts[1].map({"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25})
    ages: pd.Series = pd.to_numeric(parts[0]) / units
    # Units finer than a year are for infants, whose age in whole years is as good as the others'.
    ages = ages.where(units == 1.0, np.floor(ages))
    return ages.where(ages <= _OLDEST)


def sexes(text: pd.Series) -> pd.Series:
    """``M``, ``male``, ``F``, ``female`` in any case as M and F."""
    return text.str.strip().str.lower().map(_SEXES)


def views(text: pd.Series) -> pd.Series:
    """``PA`` and ``AP``, also where an AP is said to be supine or erect; lateral views are unknown."""
    return text.str.strip().str.lower().map(_VIEWS)


def since_first(values: pd.Series, patients: pd.Series) -> pd.Series:
    """Numbers less the smallest of each patient."""
    first: pd.Series = values.groupby(patients).transform("min")
    return values - first
