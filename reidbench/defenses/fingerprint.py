"""What a defense is called where its results are told apart: by name and options, and a weights file by its content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidbench.errors import PluginError

if TYPE_CHECKING:  # It takes torch with it, which keys of steps have no need of.
    from reidbench.defenses.base import BaseDefense


#: Stands for the path of a file in options; its SHA-256 follows.
FILE = "FILE, SHA-256 "
#: Stands for the path of a folder in options.
FOLDER = "FOLDER"


def by_content(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with each file among them named by its content: a file that is replaced decides another step.

    Records keep the result, so that neither files nor folders are named by their paths. A text is a path if it contains
    a slash and leads to a file or folder; an option ``weights`` (``verification.weights``) needs no slash.
    """
    return {name: _content(name.rpartition(".")[2], value) for name, value in options.items()}


def _content(option: str, value: Any) -> Any:
    if not isinstance(value, str) or not (option == "weights" or "/" in value or os.sep in value):
        return value
    path = Path(value).expanduser() if value[:2] == "~/" else Path(value)
    try:
        if path.is_file():
            there = path.stat()
            return f"{FILE}{_unchanged(path, there.st_mtime_ns, there.st_size)}"
        return FOLDER if option != "weights" and path.is_dir() else value
    except (OSError, ValueError):  # No path: too long for a name, or with a null character.
        return value


def identity(defense: BaseDefense) -> str:
    """A defense's name and all of its options, defaults too, as one text: canonical JSON.

    Raises:
        PluginError: an option has no JSON form.
    """
    try:
        kept = by_content(defense.model_dump(mode="json"))
        return json.dumps([defense.name, kept], sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{defense.name}: its options cannot be written as JSON: {error}") from error


@cache
def _unchanged(path: Path, *_when_and_size: int) -> str:
    # Asked many times a run, of files of a hundred megabytes.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
