"""Finished steps in their folders: sealed with the digests of their files, and checked when they are opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reidbench.files import content_digest, sync

DONE = "step.json"


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        path: the folder with its results.
        digest: SHA-256 over all that determines them, 32 hexadecimal digits.
        seconds: what it took when it was done.
        fresh: whether it was done just now.
    """

    path: Path
    digest: str
    seconds: float
    fresh: bool


class Damaged(Exception):
    """A finished step whose files are not what they were when it was finished."""


@dataclass(frozen=True)
class File:
    """A file of a finished step, as it was when the step was finished."""

    bytes: int
    mtime_ns: int
    sha256: str


def seal(folder: Path, record: dict[str, Any]) -> dict[str, File]:
    """Writes a step's record with the size, time and digest of each of its files, and all of it to the disk.

    Without this a power cut can leave a folder with its final name and files whose ends are zeros.
    """
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DONE):
        sync(path)
        status = path.stat()
        name = path.relative_to(folder).as_posix()
        files[name] = File(status.st_size, status.st_mtime_ns, content_digest(path))
    told = {name: asdict(kept) for name, kept in files.items()}
    (folder / DONE).write_text(json.dumps({**record, "files": told}, indent=1))
    sync(folder / DONE)
    sync(folder)
    return files


def known_whole(path: Path, files: Mapping[str, File]) -> None:
    """Notes that the files of a step, now in this folder, were hashed just now: not again in this process."""
    _HASHED.update((str(path / name), kept.bytes, kept.mtime_ns) for name, kept in files.items())


def finished(path: Path, digest: str) -> Step | None:
    """A finished step; None where there is none.

    Raises:
        Damaged: its record or one of its files is not what it was.
    """
    try:
        record = json.loads((path / DONE).read_text())
        seconds = float(record["seconds"])
        files = {name: File(**kept) for name, kept in record["files"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"{DONE} is not readable") from error
    for name, kept in files.items():
        _check(path / name, kept)
    return Step(path, digest, seconds, fresh=False)


# Files up to this size are hashed once in each process, larger ones only where their time is not the recorded one:
# gigabytes of pixels would cost minutes at each run.
_HASHED_BYTES = 1 << 25
# What this process has hashed: path, size and time.
_HASHED: set[tuple[str, int, int]] = set()


def files_of(record: bytes) -> dict[str, File]:
    """The files that a step's record names.

    Raises:
        Damaged: it is not readable.
    """
    try:
        return {name: File(**kept) for name, kept in json.loads(record)["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"{DONE} is not readable") from error


def _check(path: Path, kept: File) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise Damaged(f"{path.name} is missing") from error
    if status.st_size != kept.bytes:
        raise Damaged(f"{path.name} has {status.st_size:,} bytes, not {kept.bytes:,}")
    known = (str(path), status.st_size, status.st_mtime_ns)
    touched = status.st_mtime_ns != kept.mtime_ns
    if known in _HASHED or not (touched or status.st_size <= _HASHED_BYTES):
        return
    try:
        found = content_digest(path)
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    if found != kept.sha256:
        raise Damaged(f"{path.name} was changed")
    _HASHED.add(known)
