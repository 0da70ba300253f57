"""Leaderboards as files: written whole or not at all, over nothing but leaderboards."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from reidbench.errors import ReidbenchError
from reidbench.files import write_pages

#: The beginning of every page.
TITLE = "# Leaderboard: "


def write(pages: dict[str, str], folder: Path) -> list[Path]:
    """Writes pages into ``folder``, each whole or not at all.

    Raises:
        ReidbenchError: one cannot be written, or a file of its name is not such a page; then none is written.
    """
    for name in pages:
        _require_ours(folder / name)
    return write_pages(pages, folder)


def _require_ours(path: Path) -> None:
    """Refuses to replace a file that no leaderboard is; ``<name>.csv`` and ``<name>.svg`` belong to ``<name>.md``."""
    page = path.with_suffix(".md")
    taken = next((there for there in (page, path) if there.exists()), None)
    if taken is not None and not _is_ours(page):
        raise ReidbenchError(f"{taken}: a file that is not a leaderboard has this name; choose another --out")


def _is_ours(page: Path) -> bool:
    try:
        return page.read_text("utf-8", errors="replace").startswith(TITLE)
    except OSError:
        return False


def leftover(folder: Path, pages: Collection[str]) -> list[Path]:
    """Pages in ``folder`` from an earlier :func:`write` that are not among these pages.

    Args:
        folder: where the pages are written.
        pages: names of the current pages.
    """
    found = []
    for path in sorted(folder.glob("*.md")):
        if path.name not in pages and _is_ours(path):
            beside = (path.with_suffix(ending) for ending in (".csv", ".svg"))
            found += [path, *(other for other in beside if other.is_file())]
    return found
