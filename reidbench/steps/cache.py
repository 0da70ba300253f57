"""The step cache: what is done is not done again, and what is killed goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel

from reidbench.defenses.fingerprint import by_content

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

    Args:
        root: the cache's folder. It may be deleted whenever no run is going on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, kind: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Step:
        """The finished step for this key, made now if it isn't there.

        ``make`` writes into the folder it is given. After a kill it gets the same folder with what lay there, so it may
        go on from a checkpoint. Of two processes that want the same step one makes it and the other waits.
        """
        digest, final = self._place(kind, key)
        if (final / DONE).is_file():
            return _finished(final, digest, fresh=False)
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_suffix(".lock")):
            if (final / DONE).is_file():
                return _finished(final, digest, fresh=False)
            partial = final.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            began = time.perf_counter()
            make(partial)
            record = {"kind": kind, "key": key, "seconds": time.perf_counter() - began}
            (partial / DONE).write_text(json.dumps(record, indent=1))
            if final.exists():  # A folder without its record: somebody deleted parts of the cache.
                shutil.rmtree(final)
            partial.replace(final)
        return _finished(final, digest, fresh=True)

    def known(self, kind: str, key: Mapping[str, Any]) -> Step | None:
        """The finished step for this key, None where it was never made or is no longer there."""
        digest, final = self._place(kind, key)
        return _finished(final, digest, fresh=False) if (final / DONE).is_file() else None

    def _place(self, kind: str, key: Mapping[str, Any]) -> tuple[str, Path]:
        text = json.dumps(key, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:32]
        return digest, self.root / kind / digest


def _finished(path: Path, digest: str, *, fresh: bool) -> Step:
    record = json.loads((path / DONE).read_text())
    return Step(path, digest, float(record["seconds"]), fresh)


def hyperparameters(model: BaseModel) -> dict[str, Any]:
    """A model's hyperparameters, as steps and records keep them."""
    return by_content(model.model_dump(mode="json"))
