"""Titles of the strata of genuine pairs and of the thresholds, for pages and tables."""

from __future__ import annotations

from typing import Literal

Threshold = Literal["calibrated", "at_half"]

#: By the name of a stratification in the record; others keep that name.
TITLES = {
    "age_gap": "Years between visits",
    "new_finding": "Findings that came or went",
    "view": "Views",
    "sex": "Sex",
    "foreign_material": "Foreign material",
}
#: By the field of a stratum that holds the rate.
THRESHOLDS: dict[Threshold, str] = {"calibrated": "threshold for 1 % false positives", "at_half": "threshold 0.5"}


def stratification_title(name: str) -> str:
    """The title of a stratification, such as ``age_gap``."""
    return TITLES.get(name, name.replace("_", " "))
