"""Consoles and tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: The most columns that a report takes, also where it is written to a file.
WIDTH = 100


def report_console(console: Console | None = None, *, narrowest: int = 1) -> Console:
    """A console of at most :data:`WIDTH` columns, and of that many where the output is no terminal.

    Args:
        console: set to that width; None for a new one on standard output.
        narrowest: the fewest columns that the report can do with.
    """
    made = console or Console(highlight=False)
    if made.width > WIDTH or not made.is_terminal:
        made.width = WIDTH
    made.width = max(made.width, narrowest)
    return made


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
