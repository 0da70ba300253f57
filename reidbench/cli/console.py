"""Progress bars with the time left, and notices, on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reidbench.progress import Advance

# Without a terminal no bar can be redrawn; a long task then prints a line this often.
PLAIN_EVERY_SECONDS = 10.0


class Terminal:
    """Progress on standard error: bars on a terminal, single lines in a log file."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Opens a bar of ``total`` units."""
        if self.console.is_terminal:
            yield from self._bar(description, total)
        else:
            yield from self._lines(description, total)

    def say(self, line: str) -> None:
        """Prints one line of notice."""
        self.console.print(line, markup=False, soft_wrap=True)

    def _bar(self, description: str, total: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bars:
            number = bars.add_task(description, total=total)
            yield lambda count: bars.advance(number, count)

    def _lines(self, description: str, total: int) -> Iterator[Advance]:
        began = said = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal said, done
            done += count
            now = time.monotonic()
            if now - said >= PLAIN_EVERY_SECONDS and 0 < done < total:
                left = (now - began) * (total - done) / done
                self.say(f"  {description}: {done} of {total}, about {left:.0f} s left")
                said = now

        yield advance
