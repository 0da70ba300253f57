"""What older files leave unsaid of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Options that a dataset got after files with its options had been written, with the value that held before.
_BEFORE: dict[str, dict[str, Any]] = {"phantom": {"version": 1}}


def with_unsaid(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's options as a file states them, and those that it is older than."""
    return {**_BEFORE.get(name, {}), **options}
