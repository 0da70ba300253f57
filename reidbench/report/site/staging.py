"""Files of a site, all made before the first is put in place; none replaces a file that reidbench did not write."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reidbench.errors import ReidbenchError
from reidbench.files import write_file

#: The folder of scripts and styles.
ASSETS = "static"
# Stands at the beginning of every page.
GENERATOR = b'<meta name="generator" content="reidbench'


@dataclass(frozen=True)
class Staged:
    """Files that wait in a folder, so that a site of a thousand pages takes no memory, and processes can make them.

    Attributes:
        folder: where they wait.
        files: where each of them goes, and where it waits.
    """

    folder: Path
    files: dict[Path, Path] = field(default_factory=dict)

    def put(self, path: Path, content: bytes) -> None:
        """Makes a file."""
        waits = self.folder / secrets.token_hex(16)
        write_file(waits, content, what="a page that waits for the others")
        self.files[path] = waits

    def save(self) -> None:
        """Puts all files in place, each whole or not at all.

        Raises:
            ReidbenchError: one cannot be written, or would replace a file that belongs to no site; then none is put in
                place.
        """
        for path, waits in self.files.items():
            if path.exists() and not _ours(path, waits):
                raise ReidbenchError(
                    f"{path}: a file that is not {_kind(path)} of reidbench has this name; choose another"
                )
        for path, waits in self.files.items():
            write_file(path, waits.read_bytes())


@contextmanager
def staging() -> Iterator[Staged]:
    """A place for files to wait, which is removed with all that was not put in place.

    Raises:
        ReidbenchError: there is no such place.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="reidbench-")
    except OSError as error:
        raise ReidbenchError(f"{tempfile.gettempdir()}: cannot be written: {error.strerror}") from error
    with folder as name:
        yield Staged(Path(name))


def _kind(path: Path) -> str:
    return "a page" if path.suffix == ".html" else "a file"


def _ours(path: Path, waits: Path) -> bool:
    """Whether a file may be replaced: a page says so itself, and other files belong to a page that does."""
    if path.suffix == ".html":
        return _is_page(path)
    if path.is_file() and path.stat().st_size == waits.stat().st_size and path.read_bytes() == waits.read_bytes():
        return True
    if path.parent.name == ASSETS:
        return any(map(_is_page, path.parent.parent.glob("*.html")))
    return _is_page(path.with_name(f"{path.name.partition('.')[0]}.html"))


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return GENERATOR in stream.read(1_000)
    except OSError:
        return False
