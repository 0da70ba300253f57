"""Names that files are named by."""

from __future__ import annotations

import re

#: What a name may hold, in words.
RULE = "letters, digits, _, . and - only, no . or - first"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def names_files(text: str) -> bool:
    """Whether a text can be part of a file's name anywhere: it leads to no other folder, and matches no other file."""
    return _FILE_NAME.fullmatch(text) is not None
