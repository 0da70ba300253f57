"""Text that others wrote, for Markdown."""

from __future__ import annotations

import re

# Whatever begins or ends emphasis, code, a link, an image, an entity, a strikethrough or a table's cell.
_MARKS = re.compile(r"([\\`*_\[\]!|~]|(?<!&)#)")


def plain_markdown(text: str) -> str:
    """The text as it reads, in a line: nothing in it is markup, HTML, a link, a mention or another cell of a table."""
    line = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Where a reader makes links of bare addresses and people of names: an entity between breaks both.
    line = line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
    return _MARKS.sub(r"\\\1", line)
