"""Notes on a dataset: counts reach records, the counted names only the screen."""

from __future__ import annotations

from collections.abc import Iterable

from reidbench.progress import Progress


class Note(str):
    """A line on a dataset that counts things; as a text it contains no name.

    Notes are kept in records, which are published, and names of files and patients can identify a person.

    Attributes:
        names: what is counted, for the user's own screen.
    """

    names: str

    def __new__(cls, text: str, names: str = "") -> Note:
        """The line, with the names that stay out of records."""
        made = super().__new__(cls, text)
        made.names = names
        return made


def with_names(note: str) -> str:
    """A note with the names of what it counts, for the user's own screen."""
    names = getattr(note, "names", "")
    return f"{note}: {names}" if names else str(note)


def say_notes(name: str, notes: Iterable[str], progress: Progress) -> None:
    """Shows notes on the dataset ``name``, with names."""
    for note in notes:
        progress.say(f"{name}: {with_names(note)}")
