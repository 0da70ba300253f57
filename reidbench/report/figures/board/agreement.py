"""Whether two boards put the same defenses in the same order: the rank correlation of their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reidbench import metrics
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.controls import CONTROLS
from reidbench.report.figures.summary import defense_label, worst_retrieval, worst_verification

#: What is compared, by its title.
FIGURES: dict[str, Callable[[Row], float | None]] = {
    "mAP@R, strongest attack": lambda row: row.mean(worst_retrieval),
    "AUC, strongest attack": lambda row: row.mean(worst_verification),
    "utility: release": lambda row: row.utility("release", "release"),
}


@dataclass(frozen=True)
class Agreement:
    """How alike two boards order the defenses that both have.

    Attributes:
        defenses: names with options, of those on both boards; in alphabetical order.
        correlations: by title of a figure, the number of defenses that have it on both boards and Spearman's rank
            correlation with its interval over these defenses.
    """

    defenses: tuple[str, ...]
    correlations: dict[str, tuple[int, metrics.Interval]]


def agreement(first: Sequence[Row], second: Sequence[Row]) -> Agreement:
    """The agreement of two tables.

    Undefended runs and the controls are left out: where everything and where nothing is visible is known beforehand,
    and agreement on that would be counted as agreement on defenses. So are rows that are not sound, since their true
    worst case may be higher.

    Args:
        first: rows of one table.
        second: rows of another one.
    """
    ours, theirs = _defenses(first), _defenses(second)
    common = tuple(sorted(ours.keys() & theirs.keys()))
    found = {}
    for title, of in FIGURES.items():
        pairs = [(of(ours[name]), of(theirs[name])) for name in common]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        a, b = [one for one, _ in known], [other for _, other in known]
        found[title] = (len(known), metrics.bootstrap_spearman(a, b, seed=BOOTSTRAP_SEED))
    return Agreement(common, found)


def _defenses(table: Sequence[Row]) -> dict[str, Row]:
    found = {}
    for row in table:
        about = row.records[0].defense
        if about.kind != "none" and about.name not in CONTROLS and row.sound:
            # With all options: a table's own labels omit those that its rows share, which differ from table to table.
            found[defense_label(row.records[0])] = row
    return found
