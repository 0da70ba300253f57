"""Pixel stores in an object store: fetched where the pixels are not here, sent once they are made."""

from __future__ import annotations

import json
from pathlib import Path

from reidbench.files import write_file
from reidbench.remote import Remote

_PIXELS, _MANIFEST, _UNSENT = "pixels.npy", "store.json", "unsent"


def fetch_store(remote: Remote | None, folder: Path) -> bool:
    """Fetches a finished store to its folder; gives whether there was one. Opening it looks at every byte.

    Raises:
        ReidbenchError: the object store cannot be read, or the folder not be written to.
    """
    manifest = None if remote is None else remote.read(f"{folder.name}/{_MANIFEST}")
    if remote is None or manifest is None:
        return False
    try:
        told = json.loads(manifest)
        name = f"{folder.name}/{told['digest']}"
        # No file has this time: so the digest is computed when the store is opened.
        here = json.dumps({**told, "mtime_ns": 0})
    except (ValueError, TypeError, KeyError):
        return False  # Not readable, and so made anew.
    if remote.fetch(name, folder / _PIXELS):
        write_file(folder / _MANIFEST, here)
        return True
    return False


def mark_unsent(folder: Path) -> None:
    """Has the store sent by the next :func:`send_left` that finds it finished."""
    (folder / _UNSENT).touch()


def send_left(remote: Remote | None, folder: Path) -> None:
    """Sends a finished store that is marked; its manifest goes last: until then nobody finds the store.

    The pixels are named by their digest, so that two machines which make the same store at once write the same.

    Raises:
        ReidbenchError: the object store cannot be written to.
    """
    if remote is None or not (folder / _UNSENT).exists():
        return
    manifest = (folder / _MANIFEST).read_bytes()
    remote.send(f"{folder.name}/{json.loads(manifest)['digest']}", folder / _PIXELS)
    remote.write(f"{folder.name}/{_MANIFEST}", manifest)
    (folder / _UNSENT).unlink(missing_ok=True)
