"""Finished steps in an object store: sent whole, fetched file by file and checked by their digests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from reidbench.files import content_digest, private_folder, sync
from reidbench.remote import Remote
from reidbench.steps.finished import DONE, Damaged, files_of, known_whole


def send_step(remote: Remote, path: Path) -> None:
    """Sends a finished step. Its record goes last: until then nobody finds the step.

    Files are named by their digests. So two machines that make the same step at once, whose files differ in times, do
    not mix them: of two records the last one holds, and all of its files are there.

    Raises:
        ReidbenchError: the object store cannot be written to.
    """
    place, record = _name_in_store(path), (path / DONE).read_bytes()
    for name, kept in files_of(record).items():
        remote.send(f"{place}/{kept.sha256}", path / name)
    remote.write(f"{place}/{DONE}", record)


def fetch_step(remote: Remote, final: Path) -> bool:
    """Fetches a step to its folder; gives whether the object store has it.

    Raises:
        ReidbenchError: the object store cannot be read.
        Damaged: what is there is not what was sent; nothing of it is left here.
    """
    place = _name_in_store(final)
    record = remote.read(f"{place}/{DONE}")
    if record is None:
        return False
    files = files_of(record)
    fetched = final.with_suffix(".fetched")
    private_folder(fetched)
    for name, kept in files.items():
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise Damaged(f"{DONE} names {name!r}")
        path = fetched.joinpath(*parts)
        private_folder(path.parent)
        # What an interrupted call fetched is there already.
        if not (path.is_file() and path.stat().st_size == kept.bytes and content_digest(path) == kept.sha256):
            if not remote.fetch(f"{place}/{kept.sha256}", path):
                shutil.rmtree(fetched)
                raise Damaged(f"{name} is missing")
            if content_digest(path) != kept.sha256:
                shutil.rmtree(fetched)
                raise Damaged(f"{name} was changed")
        os.utime(path, ns=(kept.mtime_ns, kept.mtime_ns))
        sync(path)
    (fetched / DONE).write_bytes(record)
    sync(fetched / DONE)
    if final.exists():
        shutil.rmtree(final)
    fetched.replace(final)
    sync(final.parent)
    known_whole(final, files)
    return True


def _name_in_store(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
