"""What a row leaves of the diagnostic value, in three tiers, by the rule of the conclusions.

The rule has one line: half of what a classifier of originals has above chance, the run's own, which on one machine is
the undefended utility. A row is above or below it only with its whole interval; otherwise it is open. Where the
undefended utility is not shown to be above chance, nothing that could be kept or lost is known, and there is no line.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from reidbench.records.parts.common import Interval
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.summary import CHANCE_AUC, utility

#: Diagnosis counts as kept where more than this share of the utility above chance is kept.
KEPT = 0.5


class Tier(Enum):
    """How much of the utility above chance is left; the values are what tables print."""

    KEEPS = "keeps diagnosis"
    OPEN = "open"
    LOSES = "loses half or more"


def kept_by(row: Row) -> bool | None:
    """:func:`keeps` for the classifier that is retrained on a row's release."""
    return keeps(row.counted_from("release", "release"), row.fall("release", "release"))


def keeps(originals: float | None, fall: Interval | None) -> bool | None:
    """Whether the utility falls by less than half of what is above chance; None where its interval is undecided.

    None too where nothing is above chance that could be lost.

    Args:
        originals: macro AUC of the classifier on originals that the fall is counted from, of the same run; None
            together with the fall's.
        fall: of the classifier trained on the release, paired, with its interval.
    """
    if originals is None or originals <= CHANCE_AUC or fall is None or fall.low is None or fall.high is None:
        return None
    most = (1 - KEPT) * (originals - CHANCE_AUC)
    if fall.high < most:
        return True
    return False if fall.low >= most else None


def undefended_utility(table: Sequence[Row]) -> float | None:
    """Macro AUC of the undefended row of a table of images; None where there is none, or a model is published."""
    plain = _undefended(table)
    return plain.utility("release", "release") if plain else None


def half_line(table: Sequence[Row]) -> float | None:
    """The macro AUC that the rule draws its line at; None where the undefended one is not shown to be above chance.

    Of several seeds the interval of each has to lie above chance.
    """
    plain, undefended = _undefended(table), undefended_utility(table)
    if plain is None or undefended is None:
        return None
    lows = [None if found is None else found.low for found in (utility(record, "release") for record in plain.records)]
    if any(low is None or low <= CHANCE_AUC for low in lows):
        return None
    return CHANCE_AUC + KEPT * (undefended - CHANCE_AUC)


def _undefended(table: Sequence[Row]) -> Row | None:
    plain = next((row for row in table if row.records[0].defense.kind == "none"), None)
    return plain if plain and plain.records[0].track == "images" else None


def tiers(table: Sequence[Row]) -> list[Tier | None]:
    """One tier for each row of a table; None for undefended runs, without a utility, and where there is no line.

    A row whose fall has no interval is open.
    """
    if half_line(table) is None:
        return [None] * len(table)
    return [_tier(row) for row in table]


def _tier(row: Row) -> Tier | None:
    if row.records[0].defense.kind == "none" or row.utility("release", "release") is None:
        return None
    kept = kept_by(row)
    return Tier.OPEN if kept is None else Tier.KEEPS if kept else Tier.LOSES
