"""A board in two sentences: its data and how far undefended images are linked, then what its defenses come to."""

from __future__ import annotations

from collections.abc import Sequence

from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.board.tiers import KEPT
from reidbench.report.figures.conclusions import HIDDEN, verdict
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.paired.drops import Find
from reidbench.report.figures.summary import Worst, membership_auc, worst_retrieval, worst_verification

#: Names in a sentence; further ones are counted.
NAMED = 3
SHARES = {0.5: "half"}


def board_sentences(table: Sequence[Row], *, generated: bool | None, reasons: Sequence[str] = ()) -> tuple[str, str]:
    """What a board shows.

    Args:
        table: its rows, all of released images or all of published models.
        generated: whether its patients are generated; None where that is not known.
        reasons: why the board is invalid; empty for a valid one.
    """
    first = _data(table, generated)
    if reasons:
        return first, f"The board is invalid: {'; '.join(reasons)}."
    return first, _of_images(table) if table[0].records[0].track == "images" else _of_models(table)


def _data(table: Sequence[Row], generated: bool | None) -> str:
    record = table[0].records[0]
    whose = {True: "generated patients", False: "real patients", None: "patients"}[generated]
    counted = f"{record.dataset.images['test']:,} test images of {record.dataset.patients['test']:,} {whose}"
    if record.track != "images":
        counted = f"A published model's vectors of {counted}"
    row = _undefended(table)
    ranking = row.worst(worst_retrieval) if row else None
    if row is None or ranking is None:
        return f"{counted}, without an undefended run to compare with."
    pairs = row.worst(worst_verification)
    text = (
        f"{counted}: without a defense, the strongest tested attack reaches a mAP@R over patients of "
        f"{_told(row, worst_retrieval)} ({_by(ranking)})"
    )
    if pairs is None:
        return f"{text}."
    other = "" if _by(pairs) == _by(ranking) else f" ({_by(pairs)})"
    return f"{text} and an AUC of {_told(row, worst_verification)}{other}."


def _undefended(table: Sequence[Row]) -> Row | None:
    """The undefended row; of several, such as separate trainings, the one that is linked best."""
    found = [row for row in table if row.records[0].defense.kind == "none" and row.mean(worst_retrieval) is not None]
    return max(found, key=lambda row: row.mean(worst_retrieval) or 0.0, default=None)


def _told(row: Row, find: Find) -> str:
    """The figure of a single seed with its interval, or the mean of several."""
    worst = row.worst(find)
    if len(row.records) == 1 and worst is not None:
        return figure(worst.figure)
    return f"{number(row.mean(find))} on average over {row.seeds} seeds"


def _by(worst: Worst) -> str:
    return f"{worst.attack.knowledge}, {worst.attack.attacker}"


def _of_images(table: Sequence[Row]) -> str:
    found = verdict(table)
    if found is None:
        return "Without an undefended run and its utility nothing is concluded."
    if not found.recognized:
        return f"That AUC is not shown to be {HIDDEN} or more, so that no defense can be shown here to hide identity."
    if not found.judged:
        return "No defense has been judged on it."
    trained = ", and no attacker badly trained" if found.untrained else ""
    rule = f"(an AUC below {HIDDEN} with its interval{trained})"
    share = SHARES.get(KEPT, f"{KEPT:.0%}")
    text = f"Of {found.judged} defenses with their options, {{}} shown to hide identity {rule}"
    if not found.hiding:
        return f"{text.format('none is')}."
    text = text.format(f"{len(found.hiding)} {_are(len(found.hiding))}")
    kept = f"to keep diagnosis (more than {share} of the utility above chance)"
    if not found.diagnosed:
        return f"{text}; the undefended utility is not shown to be above chance, so that nothing is said of diagnosis."
    if not found.both:
        return f"{text}, and none of these {kept}."
    more = len(found.both) - NAMED
    named = ", ".join(found.both[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{text}, and {len(found.both)} of these {kept}: {named}."


def _of_models(table: Sequence[Row]) -> str:
    defended = [row for row in table if row.records[0].defense.kind != "none" and row.sound]
    judged = [row for row in defended if row.mean(worst_retrieval) is not None]
    if not judged:
        return "No model trained with a defense has been judged on it."
    best = min(judged, key=lambda row: row.mean(worst_retrieval) or 0.0)
    text = (
        f"Of {len(judged)} models trained with a defense, {best.label} has the lowest mAP@R of a strongest attack, "
        f"{_told(best, worst_retrieval)}, with a utility of {number(best.utility('release', 'release'))}"
    )
    plain = [row for row in table if row.records[0].defense.kind == "none"]
    own = next((row for row in plain if best.records[0].baseline_id in {one.id for one in row.records}), None)
    if own is not None and (before := own.utility("release", "release")) is not None:
        text += f" ({before:.3f} without the defense)"
    highest = _membership(judged)
    if highest is None:
        return f"{text}."
    text += f"; training patients are told from others with an AUC of at most {highest:.3f}"
    without = _membership(plain)
    return f"{text} ({without:.3f} without a defense)." if without is not None else f"{text}."


def _membership(table: Sequence[Row]) -> float | None:
    found = [auc for row in table for record in row.records if (auc := membership_auc(record)) is not None]
    return max(found, default=None)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
