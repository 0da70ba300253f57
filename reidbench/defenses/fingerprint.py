"""What a defense is called where its results are told apart: by name and options, and a weights file by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidbench.errors import PluginError

if TYPE_CHECKING:  # It takes torch with it, which keys of steps have no need of.
    from reidbench.defenses.base import BaseDefense


def by_content(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the weights file among them named by its content: a file that is replaced decides another step."""
    named = options.get("weights")
    path = Path(named) if isinstance(named, str) else None
    if path is None or not path.is_file():
        return dict(options)
    there = path.stat()
    return {**options, "weights": f"{path.name}, SHA-256 {_unchanged(path, there.st_mtime_ns, there.st_size)}"}


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
