"""Consoles and tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: The maximum width of a report in columns, also in a file.
WIDTH = 100


def report_console(console: Console | None = None, *, narrowest: int = 1) -> Console:
    """A console of at most :data:`WIDTH` columns, and of exactly as many if the output is not a terminal.

    Args:
        console: the console to resize; None for a new one on standard output.
        narrowest: the minimum width of the report in columns.
    """
    made = console or Console(highlight=False)
    if made.width > WIDTH or not made.is_terminal:
        made.width = WIDTH
    made.width = max(made.width, narrowest)
    return made


def plain_table(title: str = "", *, show_edge: bool = True) -> Table:
    """A narrow table with a line below its headings.

    Titles contain names of plugins and datasets, as cells do: rich would interpret brackets in plain strings as markup.
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
