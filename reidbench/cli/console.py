"""Progress bars with the time left, and notices, on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from reidbench.progress import Advance, Show

# Without a terminal no bar can be redrawn; a long task then prints a line this often.
PLAIN_EVERY_SECONDS = 10.0


class Terminal:
    """Progress on standard error: bars on a terminal, single lines in a log file."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._bars: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Opens a bar of ``total`` units."""
        began = time.monotonic()
        done = 0

        def state() -> tuple[float, str, float | None]:
            left = (time.monotonic() - began) * (total - done) / done if done else None
            return done / max(total, 1), f"{done}/{total}", left

        with self._bar(description, f"0/{total}") as update:
            said = time.monotonic()

            def advance(count: int) -> None:
                nonlocal done, said
                done += count
                share, count_text, left = state()
                now = time.monotonic()
                if update is not None:
                    update(share, count_text, left)
                elif now - said >= PLAIN_EVERY_SECONDS and 0 < done < total:
                    self.say(f"  {description}: {done} of {total}, about {left:.0f} s left")
                    said = now

            yield advance

    @contextmanager
    def overall(self, description: str, steps: int) -> Iterator[Show]:
        """Opens a bar over ``steps`` pieces of work, above the bars of each."""
        with self._bar(description, f"0/{steps} steps") as update:
            said = time.monotonic()

            def show(finished: int, share: float, left: float | None) -> None:
                nonlocal said
                now = time.monotonic()
                if update is not None:
                    update(share, f"{finished}/{steps} steps", left)
                elif now - said >= PLAIN_EVERY_SECONDS and finished < steps and left is not None:
                    self.say(f"{description}: {finished} of {steps} steps, {share:.0%}, about {_words(left)} left")
                    said = now

            yield show

    def say(self, line: str) -> None:
        """Prints one line of notice."""
        self.console.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def _bar(self, description: str, count: str) -> Iterator[Any]:
        # One display for all bars that are open: two would draw over each other.
        if not self.console.is_terminal:
            yield None
            return
        outermost = self._bars is None
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[count]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left {task.fields[left]}", markup=False),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        bars = self._bars
        number = bars.add_task(description, total=1.0, count=count, left="-:--:--")

        def update(share: float, count: str, left: float | None) -> None:
            text = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
            bars.update(number, completed=share, count=count, left=text)

        try:
            yield update
        finally:
            bars.remove_task(number)
            if outermost:
                bars.stop()
                self._bars = None


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
