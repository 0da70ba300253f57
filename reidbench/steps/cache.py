"""The step cache: what is done is not done again, and what is killed goes on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel

from reidbench.defenses.fingerprint import by_content
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest, private_folder, sync
from reidbench.progress import Progress

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


class StepCache:
    """Results by a hash of what determines them; safe with several processes at once.

    Finished files are checked whenever a step is asked for: a damaged step is made again, never read.

    Args:
        root: the cache's folder. It may be deleted whenever no run is going on.
        say: gets one line for each step that was found damaged.
    """

    def __init__(self, root: Path, say: Callable[[str], None] | None = None) -> None:
        self.root = root
        self._say = say

    def run(self, kind: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Step:
        """The finished step for this key, made now if it isn't there.

        ``make`` writes into the folder it is given. After a kill it gets the same folder with what lay there, so it may
        go on from a checkpoint. Of two processes that want the same step one makes it and the other waits.
        """
        digest, final = self._place(kind, key)
        with contextlib.suppress(_Damaged):
            if (found := _finished(final, digest)) is not None:
                return found
        private_folder(final.parent)
        with FileLock(final.with_suffix(".lock")):
            try:
                # Looked at again under the lock: another process may have made or mended it.
                if (found := _finished(final, digest)) is not None:
                    return found
            except _Damaged as damage:
                if self._say is not None:
                    self._say(f"the cached step {kind}/{digest} is damaged ({damage}) and is made again")
            partial = final.with_suffix(".partial")
            private_folder(partial)
            began = time.perf_counter()
            try:
                make(partial)
                files = _seal(partial, {"kind": kind, "key": key, "seconds": time.perf_counter() - began})
            except Exception as error:
                if _disk_is_full(partial, error):
                    raise ReidbenchError(
                        f"{self.root}: the disk is full; free some of it, or set REIDBENCH_CACHE to another folder; "
                        "what is done so far is kept"
                    ) from error
                raise
            if final.exists():  # Damaged, or without its record because parts of the cache were deleted.
                shutil.rmtree(final)
            partial.replace(final)
            sync(final.parent)
            # Hashed just now: not again in this process.
            _HASHED.update((str(final / name), kept.bytes, kept.mtime_ns) for name, kept in files.items())
        made = _finished(final, digest)
        if made is None:
            raise ReidbenchError(f"{final}: the cached step was removed while it was made; try again")
        return replace(made, fresh=True)

    def digest(self, kind: str, key: Mapping[str, Any]) -> str:
        """The digest of a step, which needs not be made for it."""
        return self._place(kind, key)[0]

    def known(self, kind: str, key: Mapping[str, Any]) -> Step | None:
        """The finished step for this key, None where it was never made, is no longer there, or is damaged."""
        digest, final = self._place(kind, key)
        try:
            return _finished(final, digest)
        except _Damaged:
            return None

    def _place(self, kind: str, key: Mapping[str, Any]) -> tuple[str, Path]:
        text = json.dumps(key, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:32]
        return digest, self.root / kind / digest


@dataclass(frozen=True, eq=False)
class CachedStep:
    """A step that is described before it is made: its digest and whether it is in the cache are known at no cost.

    Args:
        kind, key: as :meth:`StepCache.run` takes them.
        write: makes the results in a folder; it goes on with what an interrupted call left there.
    """

    cache: StepCache
    kind: str
    key: Mapping[str, Any]
    write: Callable[[Path, Progress], None]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that determines the results, 32 hexadecimal digits."""
        return self.cache.digest(self.kind, self.key)

    def done(self) -> bool:
        """Whether the results are in the cache."""
        return self.cache.known(self.kind, self.key) is not None

    def make(self, progress: Progress) -> Step:
        """The finished step, made now unless it is in the cache."""
        return self.cache.run(self.kind, self.key, lambda folder: self.write(folder, progress))

    def read(self) -> Step:
        """The finished step; makes nothing.

        Raises:
            ReidbenchError: it is not in the cache.
        """
        found = self.cache.known(self.kind, self.key)
        if found is None:
            raise ReidbenchError(
                f"{self.cache.root / self.kind / self.digest}: a step that was made is gone; was the cache emptied?"
            )
        return found


class _Damaged(Exception):
    """A finished step whose files are not what they were when it was finished."""


@dataclass(frozen=True)
class _File:
    """A file of a finished step, as it was when the step was finished."""

    bytes: int
    mtime_ns: int
    sha256: str


def _seal(folder: Path, record: dict[str, Any]) -> dict[str, _File]:
    """Writes a step's record with the size, time and digest of each of its files, and all of it to the disk.

    Without this a power cut can leave a folder with its final name and files whose ends are zeros.
    """
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DONE):
        sync(path)
        status = path.stat()
        name = path.relative_to(folder).as_posix()
        files[name] = _File(status.st_size, status.st_mtime_ns, content_digest(path))
    told = {name: asdict(kept) for name, kept in files.items()}
    (folder / DONE).write_text(json.dumps({**record, "files": told}, indent=1))
    sync(folder / DONE)
    sync(folder)
    return files


def _finished(path: Path, digest: str) -> Step | None:
    """A finished step; None where there is none.

    Raises:
        _Damaged: its record or one of its files is not what it was.
    """
    try:
        record = json.loads((path / DONE).read_text())
        seconds = float(record["seconds"])
        files = {name: _File(**kept) for name, kept in record["files"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _Damaged(f"{DONE} is not readable") from error
    for name, kept in files.items():
        _check(path / name, kept)
    return Step(path, digest, seconds, fresh=False)


# Files up to this size are hashed once in each process, larger ones only where their time is not the recorded one:
# gigabytes of pixels would cost minutes at each run.
_HASHED_BYTES = 1 << 25
# What this process has hashed: path, size and time.
_HASHED: set[tuple[str, int, int]] = set()


def _check(path: Path, kept: _File) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise _Damaged(f"{path.name} is missing") from error
    if status.st_size != kept.bytes:
        raise _Damaged(f"{path.name} has {status.st_size:,} bytes, not {kept.bytes:,}")
    known = (str(path), status.st_size, status.st_mtime_ns)
    touched = status.st_mtime_ns != kept.mtime_ns
    if known in _HASHED or not (touched or status.st_size <= _HASHED_BYTES):
        return
    try:
        found = content_digest(path)
    except OSError as error:
        raise _Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    if found != kept.sha256:
        raise _Damaged(f"{path.name} was changed")
    _HASHED.add(known)


# torch and Lightning turn the system's error into one of their own: then only the disk can tell.
_NO_SPACE_BYTES = 1 << 16


def _disk_is_full(folder: Path, error: BaseException) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, ReidbenchError):
            return False
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return shutil.disk_usage(folder).free < _NO_SPACE_BYTES


def hyperparameters(model: BaseModel) -> dict[str, Any]:
    """A model's hyperparameters, as steps and records keep them."""
    return by_content(model.model_dump(mode="json"))
