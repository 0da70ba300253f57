"""Files: safe names, and digests of content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

#: What a name may hold, in words.
RULE = "letters, digits, _, . and - only, no . or - first"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def names_files(text: str) -> bool:
    """Whether a text can be part of a file's name anywhere: it leads to no other folder, and matches no other file."""
    return _FILE_NAME.fullmatch(text) is not None


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
