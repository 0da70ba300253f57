"""Pages of records, made by several processes where there are many."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from reidbench.errors import ReidbenchError
from reidbench.metrics.parallel import threads
from reidbench.processes import end_with_parent
from reidbench.progress import Silent
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.site.staging import Staged
from reidbench.studies.example_images import ExampleSource

Make = Callable[[Kept, Staged, ExampleSource], Path]

#: With fewer pages a process is started for nothing.
WORTH_PROCESSES = 20
# Pages that a process makes before it hands them over.
_AT_ONCE = 4
# What a forked process makes pages with; it has a copy of all records, which cannot be sent.
_work: tuple[Sequence[Kept], Path, ExampleSource, Make] | None = None


def make_pages(kept: Sequence[Kept], staged: Staged, examples: ExampleSource, make: Make) -> Iterator[Path]:
    """The pages of these records in their order, each as soon as it and those before it are made.

    Args:
        kept: the records.
        staged: where the files of their pages wait.
        examples: the source of example images.
        make: makes the page of a record, with all files that belong to it.

    Raises:
        ReidbenchError: as ``make`` does, or a process ended, for example since memory ran out.
    """
    processes = min(threads(), len(kept) // WORTH_PROCESSES)
    if processes < 2 or not _forks():
        yield from (make(one, staged, examples) for one in kept)
        return
    global _work
    _work = (kept, staged.folder, ExampleSource(examples.registry, examples.cache, Silent()), make)
    fork = multiprocessing.get_context("fork")
    parts = [range(start, min(start + _AT_ONCE, len(kept))) for start in range(0, len(kept), _AT_ONCE)]
    pool = ProcessPoolExecutor(processes, mp_context=fork, initializer=end_with_parent, initargs=(os.getpid(),))
    try:
        with warnings.catch_warnings():
            # Bars have threads here; the new processes touch none.
            warnings.simplefilter("ignore", DeprecationWarning)
            started: list[Future[list[tuple[Path, dict[Path, Path]]]]] = [pool.submit(_pages, part) for part in parts]
        for one in started:
            for page, files in one.result():
                staged.files.update(files)
                yield page
    except BrokenProcessPool as error:
        raise ReidbenchError("a process that made pages was ended; is there enough memory?") from error
    finally:
        pool.shutdown(cancel_futures=True)
        _work = None


def _forks() -> bool:
    """Whether a copy of this process can work: on Linux, and unless CUDA has been started."""
    torch = sys.modules.get("torch")
    return sys.platform.startswith("linux") and not (torch is not None and torch.cuda.is_initialized())


def _pages(part: range) -> list[tuple[Path, dict[Path, Path]]]:
    assert _work is not None
    kept, folder, examples, make = _work
    made = []
    for number in part:
        staged = Staged(folder)
        made.append((make(kept[number], staged, examples), staged.files))
    return made
