"""The pixel store: every image decoded and resized once, then one memory-mapped uint8 array.

A store lies in ``<cache>/pixels/<key>/``, where the key is a hash of all that decides its pixels. It is built by
several processes in tasks of some rows; a journal of finished tasks lets a killed build go on where it was. What is
finished is ``pixels.npy`` with ``store.json`` beside it, which appears last and says that the array is whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from reidbench.cohorts.base import Dataset
from reidbench.cohorts.pixels.remote_store import fetch_store, mark_unsent, send_left
from reidbench.cohorts.pixels.worker_pool import Job, Result, run_jobs
from reidbench.errors import ReidbenchError
from reidbench.files import private_folder, replacing
from reidbench.progress import Progress, Silent
from reidbench.remote import remote_of
from reidbench.source_version import source_digest

VERSION = 1
SMALLEST, LARGEST = 16, 1024
_TASK_ROWS = 64
_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Store:
    """An opened pixel store.

    Attributes:
        pixels: (M, S, S) uint8, memory-mapped and read-only: the readable images in the order of the table.
        rows: (M,) the table rows they belong to.
        unreadable: table rows that could not be decoded, and why.
        digest: SHA-256 over the bytes of ``pixels``.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    unreadable: dict[int, str]
    digest: str


@dataclass(frozen=True)
class _Manifest:
    """``store.json``: what a finished store must look like; ``bytes`` and ``mtime_ns`` are those of ``pixels.npy``."""

    version: int
    rows: int
    size: int
    digest: str
    bytes: int
    mtime_ns: int
    unreadable: dict[str, str] = field(default_factory=dict)


class _Damaged(Exception):
    """A finished store is not what its manifest says."""


def open_store(
    dataset: Dataset,
    frame: pd.DataFrame,
    *,
    size: int,
    cache: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Opens the pixels of a table, decoding first what is not decoded yet.

    Args:
        dataset: reads the pixels.
        frame: its table, in the order that the store will have.
        size: width and height in pixels, 16 to 1024.
        cache: the folder that holds ``pixels/``.
        workers: processes; None for one a core where there is enough to do.
        progress: shows a bar while decoding.

    Raises:
        ReidbenchError: the size is out of bounds, the disk is full, or no image at all could be read.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ReidbenchError(f"size {size} is out of bounds: images can be {SMALLEST} to {LARGEST} pixels wide")
    progress = progress or Silent()
    folder = cache / "pixels" / store_key(dataset, frame, size)
    try:
        store = _open_finished(folder, len(frame), size)
    except _Damaged:
        # Looked at again under the lock: another process may be mending it already.
        store = None
    remote = remote_of(cache / "pixels")
    if store is not None:
        send_left(remote, folder)
        return store
    private_folder(folder)
    with _locked(folder.with_name(folder.name + ".lock"), progress):
        try:
            store = _open_finished(folder, len(frame), size)
        except _Damaged as damage:
            progress.say(f"the pixel store of {dataset.name} was damaged ({damage}) and is made anew")
            shutil.rmtree(folder)
            private_folder(folder)
            store = None
        if store is None and fetch_store(remote, folder):
            try:
                store = _open_finished(folder, len(frame), size)
            except _Damaged as damage:
                progress.say(
                    f"the pixel store of {dataset.name} in the object store is damaged ({damage}); it is made anew"
                )
                shutil.rmtree(folder)
                private_folder(folder)
        if store is None:
            if remote is not None:
                mark_unsent(folder)
            _Build(dataset, frame, size, folder).run(workers, progress)
            store = _open_finished(folder, len(frame), size)
        send_left(remote, folder)
    if store is None:
        raise ReidbenchError(f"{folder}: the pixel store was removed while it was opened; try again")
    return store


def store_key(dataset: Dataset, frame: pd.DataFrame, size: int) -> str:
    """Names a store by all that decides its pixels: dataset, options, images and their order, files, size and code."""
    reader = next(cls for cls in type(dataset).__mro__ if "read" in vars(cls))
    parts = {
        "version": VERSION,
        "dataset": dataset.name,
        "options": dataset.pixel_options(),
        "code": source_digest(reader),
        "size": size,
        "fingerprint": dataset.fingerprint(frame),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    digest.update("\0".join(frame["image_id"]).encode())
    return f"{dataset.name}-{size}-{digest.hexdigest()[:20]}"


def _open_finished(folder: Path, rows: int, size: int) -> Store | None:
    """The store, or None if it is not finished.

    Its shape, type, length and time of change are checked each time; the whole digest only where that time is not the
    recorded one, since hashing tens of gigabytes at each opening would cost minutes.
    """
    manifest_path, pixels_path = folder / "store.json", folder / "pixels.npy"
    try:
        manifest = _Manifest(**json.loads(manifest_path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise _Damaged("store.json is not readable") from error
    unreadable = {int(row): reason for row, reason in manifest.unreadable.items()}
    shape = (rows - len(unreadable), size, size)
    try:
        status = pixels_path.stat()
        pixels = np.load(pixels_path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _Damaged("pixels.npy is missing or cut short") from error
    if manifest.version != VERSION or pixels.shape != shape or pixels.dtype != np.uint8:
        raise _Damaged(f"pixels.npy holds {pixels.shape} {pixels.dtype}, not {shape} uint8")
    if status.st_size != manifest.bytes:
        raise _Damaged(f"pixels.npy has {status.st_size:,} bytes, not {manifest.bytes:,}")
    if status.st_mtime_ns != manifest.mtime_ns:
        if _digest_of(pixels_path, pixels.offset, pixels.nbytes) != manifest.digest:
            raise _Damaged("pixels.npy was changed")
        # Copied or touched, but the same bytes: so that the next opening need not hash them again.
        _write_manifest(folder, manifest, status.st_mtime_ns)
    keep = np.setdiff1d(np.arange(rows, dtype=np.int64), np.fromiter(unreadable, np.int64, len(unreadable)))
    return Store(pixels, keep, unreadable, manifest.digest)


class _Build:
    """Makes one store. The caller holds its lock."""

    def __init__(self, dataset: Dataset, frame: pd.DataFrame, size: int, folder: Path) -> None:
        self.dataset, self.frame, self.size, self.folder = dataset, frame, size, folder
        self.partial, self.final = folder / "partial.npy", folder / "pixels.npy"
        self.journal = folder / "journal.jsonl"
        # Whole chunks to a task, so that a resumed build calls `read` with the same rows as an unbroken one.
        self.task_rows = dataset.chunk * max(1, _TASK_ROWS // dataset.chunk)
        self.shape = (len(frame), size, size)

    def run(self, workers: int | None, progress: Progress) -> None:
        """Decodes what the journal lacks, then writes the finished array and its manifest."""
        try:
            done = self._resume()
            starts = [start for start in range(0, len(self.frame), self.task_rows) if start not in done]
            with progress.task(f"decoding {self.dataset.name}", len(self.frame)) as advance:
                advance(sum(min(self.task_rows, len(self.frame) - start) for start in done))
                with self.journal.open("a") as journal:
                    for result in run_jobs(self._jobs(starts), len(starts), self.dataset, workers):
                        done[result.start] = result
                        journal.write(json.dumps(asdict(result)) + "\n")
                        journal.flush()
                        advance(result.rows)
            self._finish({start + row: why for start, result in done.items() for row, why in result.unreadable})
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full() from error
            raise

    def _jobs(self, starts: list[int]) -> Iterator[Job]:
        offset = self.partial.stat().st_size - int(np.prod(self.shape))
        for start in starts:
            rows = self.frame.iloc[start : start + self.task_rows]
            yield Job(self.dataset, rows, self.size, start, self.partial, offset + start * self.size**2)

    def _resume(self) -> dict[int, Result]:
        """The tasks that an earlier build finished and whose bytes are still as it left them."""
        if not self.partial.exists() and self.final.exists():
            # Killed between the rename and the manifest.
            self.final.replace(self.partial)
        try:
            pixels = np.load(self.partial, mmap_mode="r")
            lines = self.journal.read_text().splitlines()
        except (OSError, ValueError):
            lines = []
        if not lines or pixels.shape != self.shape or pixels.dtype != np.uint8:
            self._start_afresh()
            return {}
        done = {}
        for line in lines:
            try:
                entry = json.loads(line)
                unreadable = [(row, why) for row, why in entry["unreadable"]]
                result = Result(entry["start"], entry["rows"], entry["digest"], unreadable)
            except (ValueError, KeyError, TypeError):
                continue  # the line that was being written when the build was killed
            # After a power cut the journal may have reached the disk and the pixels not.
            place = pixels.offset + result.start * self.size**2
            if _digest_of(self.partial, place, result.rows * self.size**2) == result.digest:
                done[result.start] = result
        self.journal.write_text("".join(json.dumps(asdict(result)) + "\n" for result in done.values()))
        return done

    def _start_afresh(self) -> None:
        self.journal.unlink(missing_ok=True)
        if shutil.disk_usage(self.folder).free < np.prod(self.shape):
            raise self._disk_full()
        np.lib.format.open_memmap(self.partial, mode="w+", dtype=np.uint8, shape=self.shape).flush()

    def _finish(self, unreadable: dict[int, str]) -> None:
        if len(unreadable) == len(self.frame):
            first = min(unreadable)
            # Nothing to keep, and the next try must look again.
            shutil.rmtree(self.folder)
            raise ReidbenchError(
                f"{self.dataset.name}: none of the {len(self.frame):,} images could be read; the first: "
                f"{self.frame['image_id'].iloc[first]}: {unreadable[first]}"
            )
        pixels = np.load(self.partial, mmap_mode="r")
        if unreadable:
            # Only readable images are kept, so that the rows of a split stay one run of the file.
            keep = np.setdiff1d(np.arange(len(self.frame)), np.fromiter(unreadable, np.int64, len(unreadable)))
            with replacing(self.final) as stream:
                _copy_rows(pixels, keep, stream)
        else:
            self.partial.replace(self.final)
        with self.final.open("rb") as file:
            os.fsync(file.fileno())
        status = self.final.stat()
        length = (len(self.frame) - len(unreadable)) * self.size**2
        digest = _digest_of(self.final, status.st_size - length, length)
        named = {str(row): unreadable[row] for row in sorted(unreadable)}
        manifest = _Manifest(VERSION, len(self.frame), self.size, digest, status.st_size, status.st_mtime_ns, named)
        _write_manifest(self.folder, manifest, status.st_mtime_ns)
        self.partial.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def _disk_full(self) -> ReidbenchError:
        return ReidbenchError(
            f"{self.folder}: the disk is full; {len(self.frame):,} images at {self.size}×{self.size} take "
            f"{np.prod(self.shape) / 1e9:.1f} GB: free some, choose a smaller size, or set REIDBENCH_CACHE"
        )


def _write_manifest(folder: Path, manifest: _Manifest, mtime_ns: int) -> None:
    # In a cache that is shared read-only it cannot be written: each opening hashes again then.
    with suppress(PermissionError), replacing(folder / "store.json") as stream:
        stream.write(json.dumps({**asdict(manifest), "mtime_ns": mtime_ns}, indent=1).encode())


def _digest_of(path: Path, offset: int, length: int) -> str:
    """SHA-256 over a part of a file. Read, not mapped: mapped pages would count as memory of this process."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0 and (block := file.read(min(length, _BLOCK_BYTES))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _copy_rows(pixels: NDArray[np.uint8], keep: NDArray[np.int64], file: BinaryIO) -> None:
    # Written as a file rather than through a map: on a full disk a write raises, where a map ends the process.
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(keep), *pixels.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, _BLOCK_BYTES // int(np.prod(pixels.shape[1:])))
    for start in range(0, len(keep), step):
        file.write(pixels[keep[start : start + step]].tobytes())


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        progress.say("another process decodes the same images: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
