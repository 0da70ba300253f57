"""What the rows of one table say together: is there a defense that hides identity and keeps diagnosis?

The answer belongs to one dataset, and follows from its figures by the rule below.
"""

from __future__ import annotations

from collections.abc import Sequence

from reidbench.records.parts.common import Interval
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.controls import CONTROLS
from reidbench.report.figures.summary import CHANCE_AUC, worst_verification

#: Identity counts as hidden where the strongest attack's AUC ends below this.
HIDDEN = 0.9
#: Diagnosis counts as kept where more than this share of the utility above chance is kept.
KEPT = 0.5


def hides(figure: Interval) -> bool | None:
    """Whether the strongest attack's AUC lies below :data:`HIDDEN` with its interval; None where that is undecided."""
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    if figure.high < HIDDEN:
        return True
    return False if figure.low >= HIDDEN else None


def keeps(undefended: float, fall: Interval | None) -> bool | None:
    """Whether the utility falls by less than half of what is above chance; None where its interval is undecided.

    Args:
        undefended: macro AUC of the classifier on originals.
        fall: of the classifier trained on the release, paired, with its interval.
    """
    if fall is None or fall.low is None or fall.high is None:
        return None
    most = (1 - KEPT) * (undefended - CHANCE_AUC)
    if fall.high < most:
        return True
    return False if fall.low >= most else None


def conclusion(table: Sequence[Row]) -> str | None:
    """The answer of a table of released images in a few sentences; None without an undefended row with its figures."""
    plain = next((row for row in table if row.records[0].defense.kind == "none"), None)
    worst = plain.worst(worst_verification) if plain else None
    utility = plain.utility("release", "release") if plain else None
    if plain is None or worst is None or utility is None:
        return None
    if hides(worst.figure) is not False:
        return (
            f"Conclusion: without a defense the strongest attack has an AUC of {worst.value:.3f}, which is not shown "
            f"to be {HIDDEN} or more, so that this table cannot show that a defense hides identity."
        )
    rows = [row for row in table if row.records[0].defense.name not in CONTROLS]
    rows = [row for row in rows if row.records[0].defense.kind != "none" and row.sound]
    unmatched = [row.label for row in rows if row.unmatched_break]
    told = _of_defenses([row for row in rows if not row.unmatched_break], utility)
    if unmatched:
        told += f" Not counted, as a published break is not among the attacks: {', '.join(unmatched)}."
    return told


def _of_defenses(rows: Sequence[Row], utility: float) -> str:
    judged = [
        (row, found.value < HIDDEN, hides(found.figure), keeps(utility, row.fall("release", "release")))
        for row in rows
        if (found := row.worst(worst_verification)) is not None
    ]
    hidden = [(row, kept) for row, _, hid, kept in judged if hid]
    text = (
        f"Conclusion: of {len(judged)} defenses with their options, {sum(below for _, below, _, _ in judged)} lower "
        f"the strongest attack's AUC below {HIDDEN}, {len(hidden)} of them with its interval"
    )
    if not hidden:
        return f"{text}."
    both = [row.label for row, kept in hidden if kept]
    lost = sum(kept is False for _, kept in hidden)
    text += (
        f". Of these {len(hidden)}, {lost} lose half or more of the utility above chance, for "
        f"{len(hidden) - len(both) - lost} the interval of the loss leaves it open, "
    )
    if not both:
        return f"{text}and none is shown to keep more: here nothing is shown to hide identity and keep diagnosis."
    return f"{text}and {len(both)} keep more: {', '.join(both)}."
