"""From a dataset to a cohort: the table checked, the splits made, the pixels in their store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from reidbench.cohorts.base import Cohort, Dataset, Source, remap
from reidbench.cohorts.copies import mark_copies
from reidbench.cohorts.notes import Note
from reidbench.cohorts.pixels.store import open_store
from reidbench.cohorts.splits import with_validation
from reidbench.cohorts.table import by_split, checked_table, doubtful_patients, table_digest
from reidbench.errors import PluginError, ReidbenchError
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

    Images that cannot be read are left out, and a note counts them. Where the dataset has no validation part, one is
    taken from its train patients, and a note says so. Where images of a patient are the same picture under several
    names, a note counts these pairs, and the column ``picture`` keeps them out of pairs and rankings (``copies=keep``:
    not).

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
    source = prepared(read_source(dataset), dataset.name)
    cohort, unreadable = read_pixels(dataset, source, size=size, cache=cache, workers=workers, progress=progress)
    if strict and unreadable:
        raise ReidbenchError(
            f"{dataset.name}: {len(unreadable):,} of {len(source.frame):,} images cannot be read: "
            f"{_some(unreadable)}; without --strict they are left out"
        )
    return mark_copies(cohort, dataset)


def read_source(dataset: Dataset) -> Source:
    """A dataset's table as it gives it.

    Raises:
        PluginError: it fails, or gives something else than a :class:`Source` with a table.
        ReidbenchError: it refuses its files.
    """
    try:
        source = dataset.source()
    except (ReidbenchError, OSError):
        raise
    except Exception as error:
        raise PluginError(f"{dataset.name}: source() failed: {type(error).__name__}: {error}") from error
    if not isinstance(source, Source) or not isinstance(source.frame, pd.DataFrame):
        raise PluginError(f"{dataset.name}: source() must give a Source with a DataFrame, not {type(source).__name__}")
    return source


def prepared(source: Source, name: str) -> Source:
    """A table as a run takes it: checked, with a validation part, ordered by split.

    Args:
        source: what a dataset gives.
        name: the dataset's name, for errors.

    Raises:
        ReidbenchError: the table breaks its contract.
    """
    checked = checked_table(source.frame, source.labels, name)
    frame, note = with_validation(checked)
    notes = (*source.notes, *doubtful_patients(checked), *([note] if note else []))
    return replace(source, frame=by_split(frame), notes=notes)


def read_pixels(
    dataset: Dataset,
    source: Source,
    *,
    size: int,
    cache: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Cohort, dict[str, str]]:
    """The cohort of a prepared table, and the names of the images that cannot be read, with the reasons.

    The cohort lacks them, and a note says so.
    """
    store = open_store(dataset, source.frame, size=size, cache=cache, workers=workers, progress=progress)
    names = source.frame["image_id"]
    unreadable = {names.iloc[row]: store.unreadable[row] for row in sorted(store.unreadable)}
    notes = list(source.notes)
    if unreadable:
        told = f"{len(unreadable):,} of {len(names):,} images cannot be read and are left out"
        notes.append(Note(told, _some(unreadable)))
    frame = source.frame.iloc[store.rows].reset_index(drop=True)
    revision = hashlib.sha256(f"{table_digest(frame)} {store.digest} {size}".encode()).hexdigest()
    # Classifiers have an output for each finding, in this order.
    if list(source.labels) != (usual := _usual_order(dataset, source.labels)):
        revision = hashlib.sha256(f"{revision} {[usual.index(label) for label in source.labels]}".encode()).hexdigest()
    frame["patient"] = remap(frame["patient_id"])
    cohort = Cohort(dataset.name, frame, store.pixels, source.labels, revision, tuple(notes), dataset.generated)
    return cohort, unreadable


def _usual_order(dataset: Dataset, labels: Sequence[str]) -> list[str]:
    """These findings in the order of the dataset's own option, then others by name; as they are where there is none."""
    option = type(dataset).model_fields.get("labels")
    if option is None:
        return list(labels)
    own = option.default.split("|") if isinstance(option.default, str) else []
    return [label for label in own if label in labels] + sorted(set(labels) - set(own))


def _some(unreadable: dict[str, str]) -> str:
    named = "; ".join(f"{name} ({unreadable[name]})" for name in list(unreadable)[:_NAMED])
    return f"{named}; and {len(unreadable) - _NAMED:,} more" if len(unreadable) > _NAMED else named
