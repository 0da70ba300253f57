"""How long work tells a person how far it is, without knowing how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

Advance = Callable[[int], None]
#: Takes the number of finished steps, the share of all work that is done, and the seconds left, None where unknown.
Show = Callable[[int, float, float | None], None]


class Progress(Protocol):
    """Shows the progress of one piece of work at a time; see also :class:`Overall`.

    ``with progress.task("decoding", total=100) as advance: advance(1)`` draws a bar with the time left.
    ``progress.say(line)`` prints one line beside the bars: a notice, never an error.
    """

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Opens a bar of ``total`` units; the function it gives advances it by that many."""
        ...

    def say(self, line: str) -> None:
        """Prints one line of notice."""
        ...


@runtime_checkable
class Overall(Protocol):
    """A progress that also shows the whole that each piece of work belongs to."""

    def overall(self, description: str, steps: int) -> AbstractContextManager[Show]:
        """Opens a bar over many pieces of work, each with bars of its own; the function it gives sets its state."""
        ...


class Silent:
    """Shows nothing: the default for use as a library."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """Opens a bar that is not shown."""
        yield lambda count: None

    @contextmanager
    def overall(self, description: str, steps: int) -> Iterator[Show]:
        """Opens a bar that is not shown."""
        yield lambda finished, share, left: None

    def say(self, line: str) -> None:
        """Prints nothing."""
