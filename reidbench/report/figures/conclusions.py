"""What the rows of one table say together: is there a defense that hides identity and keeps diagnosis?

The answer belongs to one dataset, and follows from its figures by the rule below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidbench.records.parts.common import Interval
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.board.tiers import half_line, kept_by
from reidbench.report.figures.controls import CONTROLS
from reidbench.report.figures.summary import Worst, worst_verification

#: Identity counts as hidden where the strongest attack's AUC ends below this.
HIDDEN = 0.9


def hides(figure: Interval) -> bool | None:
    """Whether the strongest attack's AUC lies below :data:`HIDDEN` with its interval; None where that is undecided."""
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    if figure.high < HIDDEN:
        return True
    return False if figure.low >= HIDDEN else None


@dataclass(frozen=True)
class Verdict:
    """What a table of released images comes to by the rule.

    Attributes:
        undefended: the strongest attack without a defense, by AUC.
        recognized: whether its AUC is shown to be :data:`HIDDEN` or more; else nothing can be shown to be hidden.
        judged: how many defenses with their options are counted.
        below: how many have an AUC below :data:`HIDDEN`, with or without its interval.
        utility: macro AUC of the undefended classifier.
        diagnosed: whether it is shown to be above chance; else nothing can be shown to keep diagnosis or to lose it.
        hiding: labels of those below with the interval, and whether each keeps diagnosis (None where that is open).
        untrained: labels of those below with the interval that are not counted further: an attacker of theirs is badly
            trained, and might have found more.
        unmatched: labels of those that are not counted, as a published break is not among the attacks.
    """

    undefended: Worst
    recognized: bool
    judged: int
    below: int
    utility: float
    diagnosed: bool
    hiding: tuple[tuple[str, bool | None], ...]
    untrained: tuple[str, ...]
    unmatched: tuple[str, ...]

    @property
    def both(self) -> tuple[str, ...]:
        """Labels of those that hide identity and keep diagnosis."""
        return tuple(label for label, kept in self.hiding if kept)

    @property
    def losing(self) -> int:
        """How many of those that hide identity lose half or more of the utility above chance."""
        return sum(kept is False for _, kept in self.hiding)


def verdict(table: Sequence[Row]) -> Verdict | None:
    """What the rows come to; None without an undefended row with its figures."""
    plain = next((row for row in table if row.records[0].defense.kind == "none"), None)
    worst = plain.worst(worst_verification) if plain else None
    utility = plain.utility("release", "release") if plain else None
    if plain is None or worst is None or utility is None:
        return None
    rows = [row for row in table if row.records[0].defense.name not in CONTROLS]
    rows = [row for row in rows if row.records[0].defense.kind != "none" and row.sound]
    found = [
        (row, attack)
        for row in rows
        if not row.unmatched_break and (attack := row.worst(worst_verification)) is not None
    ]
    diagnosed = half_line(table) is not None
    hidden = [row for row, attack in found if hides(attack.figure)]
    return Verdict(
        worst,
        hides(worst.figure) is False,
        len(found),
        sum(attack.value < HIDDEN for _, attack in found),
        utility,
        diagnosed,
        tuple((row.label, kept_by(row) if diagnosed else None) for row in hidden if not row.badly_trained),
        tuple(row.label for row in hidden if row.badly_trained),
        tuple(row.label for row in rows if row.unmatched_break),
    )


def conclusion(table: Sequence[Row]) -> str | None:
    """The answer of a table of released images in a few sentences; None without an undefended row with its figures."""
    found = verdict(table)
    if found is None:
        return None
    if not found.recognized:
        return (
            f"Conclusion: without a defense the strongest attack has an AUC of {found.undefended.value:.3f}, which is "
            f"not shown to be {HIDDEN} or more, so that this table cannot show that a defense hides identity."
        )
    told = _of_defenses(found)
    if found.unmatched:
        told += f" Not counted, as a published break is not among the attacks: {', '.join(found.unmatched)}."
    return told


def _of_defenses(found: Verdict) -> str:
    hiding, untrained = len(found.hiding), len(found.untrained)
    text = (
        f"Conclusion: of {found.judged} defenses with their options, {_who(found.below, 'lower')} the strongest "
        f"attack's AUC below {HIDDEN}, {hiding + untrained} of them with its interval"
    )
    if untrained:
        judged = "1 is" if untrained == 1 else f"{untrained} are"
        text += (
            f". Of these {hiding + untrained}, {judged} not counted further, as an attacker of theirs is badly "
            f"trained: {', '.join(found.untrained)}"
        )
    if not hiding:
        return f"{text}."
    if not found.diagnosed:
        return (
            f"{text}. Without a defense the utility is {found.utility:.3f}, which is not shown to be above chance, so "
            "that this table cannot show that a defense keeps diagnosis, or loses it."
        )
    text += (
        f". Of {'the other' if untrained else 'these'} {hiding}, {_who(found.losing, 'lose')} half or more of the "
        f"utility above chance, for {hiding - len(found.both) - found.losing} the interval of the loss leaves it open, "
    )
    if not found.both:
        return f"{text}and none is shown to keep more: here nothing is shown to hide identity and keep diagnosis."
    return f"{text}and {_who(len(found.both), 'keep')} more: {', '.join(found.both)}."


def _who(count: int, verb: str) -> str:
    return f"{count} {verb}s" if count == 1 else f"{count} {verb}"
