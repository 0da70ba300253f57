"""Markdown: tables, and escaping of texts from plugins and datasets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters that start or end emphasis, code, a link, an image, an entity, a strikethrough or a table cell.
_MARKS = re.compile(r"([\\`*_\[\]!|~]|(?<!&)#)")
# An interval such as [0.883, 0.941] is not a link unless a target or a reference follows.
_INTERVAL = re.compile(r"(\[[+-]?\d+\.\d{2,}, [+-]?\d+\.\d{2,}\](?![(\[:]))")
# The @ of a mention or a mail address, but not that of mAP@R.
_ADDRESS = re.compile(r"(?<!\w)@|@(?=[\w-]*\.)")
_BAR = re.compile(r"(?<!\\)\|")


class Markdown(str):
    """Text that is Markdown already: a table cell of this type keeps its markup."""

    __slots__ = ()


def plain_markdown(text: str) -> Markdown:
    """The text in one line, escaped: it contains no markup, HTML, link, mention or cell separator."""
    line = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Some renderers turn bare addresses into links and names into mentions; an entity prevents both.
    line = line.replace("://", "&#58;//").replace("www.", "www&#46;")
    line = _ADDRESS.sub("&#64;", line)
    # Splitting at a group gives the text between intervals at even places.
    parts = _INTERVAL.split(line)
    return Markdown("".join(part if place % 2 else _MARKS.sub(r"\\\1", part) for place, part in enumerate(parts)))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> list[str]:
    """The lines of a table.

    Args:
        head: column headings.
        rows: as many cells each. Text is escaped as by :func:`plain_markdown`; in :class:`Markdown` only bars that
            would end the cell are escaped.
        right: how many of the last columns are aligned to the right, as figures are.
    """
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return [_line(map(_cell, head)), _line(rule), *(_line(map(_cell, row)) for row in rows)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return _BAR.sub(r"\\|", text) if isinstance(text, Markdown) else plain_markdown(text)
