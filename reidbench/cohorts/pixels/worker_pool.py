"""The tasks that fill a pixel store: read some rows, write their pixels in place, say which could not be read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.base import Dataset
from reidbench.errors import PluginError, ReidbenchError, UnreadableImage
from reidbench.processes import end_with_parent

# With less than this to do, the start of worker processes costs more than they save.
_WORTH_PROCESSES_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """Rows to decode, and where in which file their pixels go."""

    dataset: Dataset
    rows: pd.DataFrame
    size: int
    start: int
    path: Path
    offset: int


@dataclass(frozen=True)
class Result:
    """A finished job: rows ``start`` to ``start + rows``, the SHA-256 of their bytes, and (row in the job, why) of each
    image that could not be read; those are black.
    """

    start: int
    rows: int
    digest: str
    unreadable: list[tuple[int, str]]


def run_jobs(jobs: Iterator[Job], count: int, dataset: Dataset, workers: int | None) -> Iterator[Result]:
    """Runs ``count`` jobs in ``workers`` processes and gives results as they come.

    With None the first job is timed here, and there is a process a core if the rest would take long. Processes are
    started fresh, never forked: a fork of a process that has used torch's threads can hang. Unlike the standard
    library's pool, joblib's does not run a script's top level again in each worker.
    """
    parallel = count > 1 and dataset.parallel and _importable(type(dataset))
    if workers is None and parallel:
        began = time.perf_counter()
        yield decode_job(next(jobs))
        count -= 1
        left = (time.perf_counter() - began) * count
        workers = _cores() if left > _WORTH_PROCESSES_SECONDS else 1
    if not parallel or workers is None or workers <= 1:
        yield from map(decode_job, jobs)
        return
    import joblib  # Importing it takes longer than decoding a small dataset.

    pool = joblib.Parallel(n_jobs=min(workers, count), batch_size=1, return_as="generator_unordered")
    parent = os.getpid()
    yield from pool(joblib.delayed(_decode_apart)(job, parent) for job in jobs)


def _decode_apart(job: Job, parent: int) -> Result:
    # Before each job: joblib starts its processes itself, and may replace one.
    end_with_parent(parent)
    return decode_job(job)


def _cores() -> int:
    import joblib

    count: int = joblib.cpu_count()
    return count


def _importable(cls: type) -> bool:
    """Whether another process can import the class's module: a loose plugin file is on no path."""
    top = cls.__module__.partition(".")[0]
    return top == "__main__" or PathFinder.find_spec(top) is not None


def decode_job(job: Job) -> Result:
    """Reads the rows of a job and writes their pixels.

    Raises:
        PluginError: the dataset's ``read`` gave something else than pixels.
        ReidbenchError: reading cannot go on, for example since a decoder is not installed.
    """
    pixels = np.zeros((len(job.rows), job.size, job.size), dtype=np.uint8)
    unreadable: dict[int, str] = {}
    for start in range(0, len(job.rows), job.dataset.chunk):
        rows = job.rows.iloc[start : start + job.dataset.chunk]
        places = np.arange(start, start + len(rows))
        while len(places):
            try:
                pixels[places] = _read(job.dataset, rows, job.size)
                break
            except UnreadableImage as error:
                bad = (rows["image_id"] == error.image_id).to_numpy()
                if not bad.any():
                    raise PluginError(f"{job.dataset.name}: read() blames {error.image_id}, no row of its") from error
                unreadable[int(places[bad][0])] = error.reason
                rows, places = rows[~bad], places[~bad]
    with job.path.open("r+b") as file:
        file.seek(job.offset)
        file.write(pixels.data)
    return Result(job.start, len(job.rows), hashlib.sha256(pixels.data).hexdigest(), sorted(unreadable.items()))


def _read(dataset: Dataset, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
    try:
        pixels = dataset.read(rows, size)
    except ReidbenchError:
        raise
    except Exception as error:
        first = rows["image_id"].iloc[0]
        raise PluginError(f"{dataset.name}: read() failed at image {first}: {type(error).__name__}: {error}") from error
    wanted = (len(rows), size, size)
    if not isinstance(pixels, np.ndarray) or pixels.shape != wanted or pixels.dtype != np.uint8:
        given = f"{pixels.shape} {pixels.dtype}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise PluginError(f"{dataset.name}: read() must give {wanted} uint8, not {given}")
    return pixels
