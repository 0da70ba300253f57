"""Markdown: tables, and text of plugins and datasets that must not be read as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters that begin or end emphasis, code, a link, an image, an entity, a strikethrough or a table's cell.
_MARKS = re.compile(r"([\\`*_\[\]!|~]|(?<!&)#)")
# A figure's interval such as [0.883, 0.941] is no link as long as neither a target nor a reference follows.
_INTERVAL = re.compile(r"(\[[+-]?\d+\.\d{2,}, [+-]?\d+\.\d{2,}\](?![(\[:]))")
# The sign of a mention or a mail address; not that of mAP@R.
_ADDRESS = re.compile(r"(?<!\w)@|@(?=[\w-]*\.)")
_BAR = re.compile(r"(?<!\\)\|")


class Markdown(str):
    """Text that is Markdown already: a table's cell of this type keeps its markup."""

    __slots__ = ()


def plain_markdown(text: str) -> Markdown:
    """The text in one line, escaped: nothing in it is markup, HTML, a link, a mention or another cell of a table."""
    line = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Where a reader makes links of bare addresses and people of names: an entity between breaks both.
    line = line.replace("://", "&#58;//").replace("www.", "www&#46;")
    line = _ADDRESS.sub("&#64;", line)
    # Splitting at a group gives the text between intervals at even places.
    parts = _INTERVAL.split(line)
    return Markdown("".join(part if place % 2 else _MARKS.sub(r"\\\1", part) for place, part in enumerate(parts)))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> list[str]:
    """The lines of a table.

    Args:
        head: column headings.
        rows: as many cells each. Text is escaped as by :func:`plain_markdown`; of :class:`Markdown` only the bars that
            would end the cell.
        right: how many of the last columns are aligned to the right, as figures are.
    """
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return [_line(map(_cell, head)), _line(rule), *(_line(map(_cell, row)) for row in rows)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return _BAR.sub(r"\\|", text) if isinstance(text, Markdown) else plain_markdown(text)
