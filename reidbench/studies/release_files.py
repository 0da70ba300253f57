"""Which files of a release are whole: a journal of a release in progress, and what a folder holds beside them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reidbench.errors import ReidbenchError
from reidbench.files import being_written, content_digest
from reidbench.studies.release_certificate import CERTIFICATE, MANIFEST, PAGE
from reidbench.studies.release_key import IMAGES, Key, file_name, files_digest


class Journal:
    """SHA-256 of each image that was written, beside the key until the release is finished.

    An image that is there at the next start was either written whole, or it is damaged and must not be certified. The
    order of the lines is that of the originals: the journal is as private as the key.

    Args:
        key_path: of the private key.
    """

    def __init__(self, key_path: Path) -> None:
        self.path = key_path.with_name(f"{key_path.name}.written")

    @contextmanager
    def appending(self) -> Iterator[Callable[[str, bytes], None]]:
        """Opens the journal; the function that it gives takes a file's name and its bytes."""
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ReidbenchError(f"{self.path}: cannot be written: {error.strerror}") from error
        with os.fdopen(handle, "w") as stream:

            def note(name: str, content: bytes) -> None:
                stream.write(f"{hashlib.sha256(content).hexdigest()} {name}\n")
                stream.flush()

            yield note

    def read(self) -> dict[str, str]:
        """SHA-256 by file name; a line that was being written when the process was killed is left out."""
        try:
            lines = self.path.read_text(errors="replace").splitlines()
        except OSError:
            return {}
        parts = (line.split(" ") for line in lines)
        return {part[1]: part[0] for part in parts if len(part) == 2}

    def remove(self) -> None:
        """Removes it: the certificate says from now on which bytes belong to the release."""
        self.path.unlink(missing_ok=True)


def whole_images(key: Key, out: Path, journal: Journal) -> set[str]:
    """File names of the images that are there as they were written. What an interrupted write left is removed.

    Raises:
        ReidbenchError: the folder holds a file of another origin, which would be given away.
    """
    require_nothing_else(key, out, remove_interrupted=True)
    wanted = {Path(file_name(key, pseudonym)).name for pseudonym in key.images}
    there = {entry.name for entry in os.scandir(out / IMAGES)} & wanted
    if there == wanted and (certified(out) or {}).get("images_sha256") == files_digest(key, out):
        return there
    written = journal.read()
    return {name for name in there if written.get(name) == content_digest(out / IMAGES / name)}


def require_nothing_else(key: Key, out: Path, *, remove_interrupted: bool = False) -> None:
    """Refuses a folder that holds anything but a release's own files.

    Args:
        remove_interrupted: removes what a killed process left of a file that it was writing.

    Raises:
        ReidbenchError: naming the first file of another origin.
    """
    images = {Path(file_name(key, pseudonym)).name for pseudonym in key.images}
    for folder, wanted in ((out, {IMAGES, MANIFEST, CERTIFICATE, PAGE}), (out / IMAGES, images)):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if remove_interrupted and being_written(entry.name):
                Path(entry.path).unlink()
            elif entry.name not in wanted:
                raise ReidbenchError(f"{entry.path}: it is none of the files of this release; move it elsewhere")
            elif entry.name != IMAGES and not entry.is_file(follow_symlinks=False):
                raise ReidbenchError(f"{entry.path}: it is a link or a folder, where the release has a file")


def certified(out: Path) -> dict[str, str] | None:
    """The certificate's digests by name; None where there is no certificate, or it is unreadable."""
    try:
        found = json.loads((out / CERTIFICATE).read_text())
        return {name: str(found[name]) for name in ("images_sha256", "manifest_sha256")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
