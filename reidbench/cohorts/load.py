"""From a dataset to a cohort: the table checked, the splits made, the pixels in their store."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from reidbench.cohorts.base import Cohort, Dataset, Source, remap
from reidbench.cohorts.splits import with_validation
from reidbench.cohorts.store import Store, open_store
from reidbench.cohorts.table import by_split, checked_table, table_digest
from reidbench.errors import ReidbenchError
from reidbench.progress import Progress

_NAMED = 5


def load_cohort(
    dataset: Dataset,
    *,
    size: int,
    cache: Path,
    strict: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Loads a dataset, decoding its images the first time.

    Images that cannot be read are left out and named in a note. Where the dataset has no validation part, one is taken
    from its train patients, and a note says so.

    Args:
        dataset: where the images come from.
        size: width and height in pixels, 16 to 1024; images are squashed to a square, antialiased.
        cache: the folder that holds the pixel stores.
        strict: refuse the dataset if an image cannot be read.
        workers: processes that decode; None for one a core where there is enough to do.
        progress: shows a bar while decoding.

    Raises:
        ReidbenchError: the table breaks its contract, a patient is in two splits, no image can be read, or, with
            ``strict``, an image cannot be read.
    """
    source = prepared(dataset)
    store = open_store(dataset, source.frame, size=size, cache=cache, workers=workers, progress=progress)
    notes = list(source.notes)
    if store.unreadable:
        line = _name_unreadable(source.frame, store)
        if strict:
            raise ReidbenchError(f"{dataset.name}: {line}")
        notes.append(f"{line}; left out")
    frame = source.frame.iloc[store.rows].reset_index(drop=True)
    revision = hashlib.sha256(f"{table_digest(frame)} {store.digest} {size}".encode()).hexdigest()
    frame["patient"] = remap(frame["patient_id"])
    return Cohort(dataset.name, frame, store.pixels, source.labels, revision, tuple(notes))


def prepared(dataset: Dataset) -> Source:
    """The dataset's table, checked, ordered by split and with a validation part: as a run takes it, but for pixels.

    Raises:
        ReidbenchError: the table breaks its contract.
    """
    source = dataset.source()
    frame, note = with_validation(checked_table(source.frame, source.labels, dataset.name))
    return replace(source, frame=by_split(frame), notes=(*source.notes, *([note] if note else [])))


def _name_unreadable(frame: pd.DataFrame, store: Store) -> str:
    rows = sorted(store.unreadable)
    named = "; ".join(f"{frame['image_id'].iloc[row]} ({store.unreadable[row]})" for row in rows[:_NAMED])
    more = f"; and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    return f"{len(rows):,} of {len(frame):,} images cannot be read: {named}{more}"
