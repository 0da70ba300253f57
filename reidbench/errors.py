"""What went wrong, for people: one line that says what, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ReidbenchError(Exception):
    """A mistake in what the user gave. The command line prints its one line and exits with 2."""


class PluginError(ReidbenchError):
    """A plugin broke a promise; the message begins with the plugin's name."""


class UnreadableImage(ReidbenchError):
    """An image file could not be decoded.

    Attributes:
        image_id: the image's identifier in the table.
        reason: why, in a few words.
    """

    def __init__(self, image_id: str, reason: str) -> None:
        super().__init__(f"{image_id}: {reason}")
        self.image_id = image_id
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str]]:
        # Raised in worker processes: it must survive pickling with both arguments.
        return type(self), (self.image_id, self.reason)


def not_finite(name: str, what: str) -> ReidbenchError:
    """The error of a network that gives no numbers.

    Args:
        name: the network's.
        what: is not finite: weights, vectors.
    """
    return ReidbenchError(f"{name}: {what} are not finite: its training diverged, and a lower learning rate may help")


#: More names than this are no hint.
LISTED = 40


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to put behind an unknown name: the nearest known one, or those that there are when none is near.

    Capitals make no difference.
    """
    names = sorted(known)
    folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    if len(names) > LISTED:
        return f"known are {len(names)}, such as {', '.join(names[:: -(-len(names) // 8)])}"
    return f"known: {', '.join(names)}" if names else "none is known"
