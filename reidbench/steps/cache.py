"""The step cache: what is done is not done again, and what is killed goes on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel

from reidbench.defenses.fingerprint import by_content
from reidbench.errors import ReidbenchError
from reidbench.files import private_folder, sync
from reidbench.progress import Progress, Silent
from reidbench.remote import remote_of
from reidbench.steps.finished import DONE, Damaged, Step, finished, known_whole, seal
from reidbench.steps.remote_steps import fetch_step, send_step

#: Ending of the name of an empty file beside a step that is not in the object store yet.
UNSENT = ".unsent"


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
        self._remote = remote_of(root)
        # Steps in the object store that are not what was sent, until they are sent again.
        self._damaged: set[str] = set()

    def run(self, kind: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Step:
        """The finished step for this key, made now if it isn't there.

        ``make`` writes into the folder it is given. After a kill it gets the same folder with what lay there, so it may
        go on from a checkpoint. Of two processes that want the same step one makes it and the other waits.
        """
        digest, final = self._place(kind, key)
        with contextlib.suppress(Damaged):
            if (found := finished(final, digest)) is not None:
                self._send_left(final)
                return found
        private_folder(final.parent)
        with FileLock(final.with_suffix(".lock")):
            # Looked at again under the lock: another process may have made or mended it.
            if (found := self._look(final, digest)) is not None:
                return found
            partial = final.with_suffix(".partial")
            private_folder(partial)
            began = time.perf_counter()
            try:
                make(partial)
                files = seal(partial, {"kind": kind, "key": key, "seconds": time.perf_counter() - began})
            except Exception as error:
                if _disk_is_full(partial, error):
                    raise ReidbenchError(
                        f"{self.root}: the disk is full; free some of it, or set REIDBENCH_CACHE to another folder; "
                        "what is done so far is kept"
                    ) from error
                raise
            if final.exists():  # Damaged, or without its record because parts of the cache were deleted.
                shutil.rmtree(final)
            if self._remote is not None:
                # If it cannot be sent now, the next one who asks for it sends it.
                final.with_suffix(UNSENT).touch()
            partial.replace(final)
            sync(final.parent)
            known_whole(final, files)
            self._send_left(final)
        made = finished(final, digest)
        if made is None:
            raise ReidbenchError(f"{final}: the cached step was removed while it was made; try again")
        return replace(made, fresh=True)

    def digest(self, kind: str, key: Mapping[str, Any]) -> str:
        """The digest of a step, which needs not be made for it."""
        return self._place(kind, key)[0]

    def known(self, kind: str, key: Mapping[str, Any]) -> Step | None:
        """The finished step for this key, None where it was never made, is no longer there, or is damaged.

        Where the cache is an object store, the step is fetched from there.
        """
        digest, final = self._place(kind, key)
        with contextlib.suppress(Damaged):
            if (found := finished(final, digest)) is not None:
                return found
        if self._remote is None:
            return None
        private_folder(final.parent)
        with FileLock(final.with_suffix(".lock")):
            return self._look(final, digest)

    def present(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Whether there is a finished step for this key; nothing is fetched for it from an object store."""
        digest, final = self._place(kind, key)
        with contextlib.suppress(Damaged):
            if finished(final, digest) is not None:
                return True
        return self._remote is not None and self._remote.has(f"{kind}/{digest}/{DONE}")

    @property
    def remote(self) -> bool:
        """Whether the cache is an object store, of which this machine has a copy."""
        return self._remote is not None

    def _look(self, final: Path, digest: str) -> Step | None:
        """The finished step, from the object store if it is not here; tells of damage. The caller holds the lock."""
        told = ""
        try:
            if (found := finished(final, digest)) is not None:
                self._send_left(final)
                return found
        except Damaged as damage:
            told = f"is damaged ({damage})"
        if self._remote is not None and digest not in self._damaged:
            try:
                if fetch_step(self._remote, final):
                    return finished(final, digest)
            except Damaged as damage:
                told = f"is damaged in the object store ({damage})"
                self._damaged.add(digest)
        if told and self._say is not None:
            self._say(f"the cached step {final.parent.name}/{digest} {told} and is made again")
        return None

    def _send_left(self, final: Path) -> None:
        unsent = final.with_suffix(UNSENT)
        if self._remote is not None and unsent.exists():
            send_step(self._remote, final)
            unsent.unlink(missing_ok=True)
            self._damaged.discard(final.name)

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
        return self.cache.present(self.kind, self.key)

    def make(self, progress: Progress) -> Step:
        """The finished step, made now unless it is in the cache."""
        return self.cache.run(self.kind, self.key, lambda folder: self.write(folder, progress))

    def read(self) -> Step:
        """The finished step; makes nothing, unless it was found damaged in an object store.

        Raises:
            ReidbenchError: it is not in the cache.
        """
        found = self.cache.known(self.kind, self.key)
        if found is None and self.cache.remote:
            return self.make(Silent())
        if found is None:
            raise ReidbenchError(
                f"{self.cache.root / self.kind / self.digest}: a step that was made is gone; was the cache emptied?"
            )
        return found


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
