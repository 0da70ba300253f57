"""How far two boards agree, as text for a terminal and as a sentence on their pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reidbench import metrics
from reidbench.errors import ReidbenchError
from reidbench.report.figures.board.agreement import Agreement, agreement
from reidbench.report.figures.board.rows import Row

#: A page says nothing of its agreement on fewer defenses.
ENOUGH_DEFENSES = 5
HOW = (
    "Spearman's rank correlation over the defenses on both boards, without undefended runs, controls and rows that are "
    "not sound; in brackets the 95 % interval of a bootstrap over defenses."
)


def agreement_text(boards: Mapping[str, Mapping[str, Sequence[Row]]], first: str, second: str) -> str:
    """The agreement of each table of one board with each of the other.

    Args:
        boards: by name, the rows of each of its tables by title.
        first, second: names; for one and the same board its tables are compared with each other.

    Raises:
        ReidbenchError: there is no such board, it is the only table of one board, or no defense is on both.
    """
    for name in (first, second):
        if name not in boards:
            raise ReidbenchError(f"--agree: no board {name!r} among these records; there are {', '.join(boards)}")
    pairs = [(a, b) for a in boards[first] for b in boards[second] if first != second or a < b]
    if not pairs:
        raise ReidbenchError(f"--agree: the board {first!r} has one table, which cannot be compared with itself")
    found = [(a, b, agreement(boards[first][a], boards[second][b])) for a, b in pairs]
    if not any(one.defenses for _, _, one in found):
        raise ReidbenchError(f"--agree: no defense with the same options is on both {first!r} and {second!r}")
    lines: list[str] = []
    for a, b, one in found:
        lines += [f"{first}: {a}", f"{second}: {b}", f"  {len(one.defenses)} defenses on both"]
        lines += [f"  {title:<24} {_correlation(each)}{_of(count, one)}" for title, (count, each) in _rows(one)]
        lines.append("")
    return "\n".join([*lines, HOW])


def agreement_sentences(table: Sequence[Row], others: Mapping[str, Sequence[Row]]) -> list[str]:
    """A sentence for each other board that has enough of a table's defenses.

    Args:
        table: its rows.
        others: tables of other boards, by the name of the board.
    """
    found = [(name, agreement(table, rows)) for name, rows in others.items()]
    told = [
        f"With {name} ({len(one.defenses)} defenses): "
        + ", ".join(f"{title.split(',')[0].split(':')[0]} {_correlation(each)}" for title, (_, each) in _rows(one))
        + "."
        for name, one in found
        if len(one.defenses) >= ENOUGH_DEFENSES
    ]
    return [f"Agreement with other boards. {HOW}", *told] if told else []


def _rows(one: Agreement) -> list[tuple[str, tuple[int, metrics.Interval]]]:
    return list(one.correlations.items())


def _of(count: int, one: Agreement) -> str:
    return "" if count == len(one.defenses) else f"  ({count} of them have it)"


def _correlation(found: metrics.Interval) -> str:
    if math.isnan(found.value):
        return "–"
    if math.isnan(found.low):
        return f"{found.value:z.3f}" + (f" ({found.why_unbounded})" if found.why_unbounded else "")
    return f"{found.value:z.3f} [{found.low:z.3f}, {found.high:z.3f}]"
