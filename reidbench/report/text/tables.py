"""Tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def plain_table(title: str = "", *, show_edge: bool = True) -> Table:
    """A narrow table with a line below its headings.

    Titles hold names of plugins and datasets, as cells do: rich would take brackets in plain strings for markup.
    """
    return Table(
        title=Text(title, style="table.title") if title else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        show_edge=show_edge,
    )
