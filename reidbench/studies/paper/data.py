"""The user's copies of the 2022 paper's data: scaled down if asked for, and what share of the whole they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from reidbench.cohorts.base import Cohort, Dataset, Source
from reidbench.cohorts.load import prepared, read_pixels
from reidbench.errors import ReidbenchError
from reidbench.progress import Progress
from reidbench.settings import Settings
from reidbench.studies.paper import facts

FOREIGN = "foreign_material"


@dataclass(frozen=True)
class Copies:
    """The data of a reproduction.

    Attributes:
        train: what attackers are trained and tested on; in the paper ChestX-ray14.
        elsewhere: by name, what they are tested on without having seen any of it; None where there is no copy.
        limit: at most so many patients of each split; None for all.
        foreign_material: a CSV with the columns ``image_id`` and ``foreign_material`` (0 or 1) for ``train``, whose own
            table may lack it.
    """

    train: Dataset
    elsewhere: Mapping[str, Dataset | None]
    limit: int | None = None
    foreign_material: Path | None = None


def load_copy(
    dataset: Dataset, settings: Settings, progress: Progress, *, limit: int | None, foreign_material: Path | None = None
) -> tuple[Cohort, str]:
    """A cohort of at most ``limit`` patients a split, and what share it is of what the metadata name, in words.

    Raises:
        ReidbenchError: as `load_cohort`, or the limit or the file of foreign material is refused.
    """
    source = prepared(dataset.source(), dataset.name)
    if foreign_material is not None:
        source = with_foreign_material(source, foreign_material)
    limited = limit_patients(source, limit)
    cohort, _ = read_pixels(dataset, limited, size=settings.size, cache=settings.cache, progress=progress)
    whole = source.whole if source.whole is not None else source.frame
    patients, of = cohort.frame["patient_id"].nunique(), whole["patient_id"].nunique()
    return cohort, (
        f"{facts.title(dataset.name)}: {len(cohort):,} images of {patients:,} patients, out of {len(whole):,} images "
        f"of {of:,} patients that its metadata name ({percent(len(cohort), len(whole))} of the images)"
    )


def limit_patients(source: Source, limit: int | None) -> Source:
    """At most so many patients of each split, all with their images: the first by a hash of their names.

    Args:
        source: a prepared table.
        limit: None for all of it.

    Raises:
        ReidbenchError: ``limit`` is below 2, which leaves no impostor.
    """
    if limit is None:
        return source
    if limit < 2:
        raise ReidbenchError(f"--limit {limit}: at least 2 patients of each split are needed")
    people = source.frame[["split", "patient_id"]].drop_duplicates("patient_id")
    order = people["patient_id"].map(lambda name: hashlib.sha256(f"limit {name}".encode()).hexdigest())
    kept = people.loc[order.sort_values().index].groupby("split").head(limit)["patient_id"]
    frame = source.frame[source.frame["patient_id"].isin(kept)].reset_index(drop=True)
    return replace(source, frame=frame, whole=source.whole if source.whole is not None else source.frame)


def with_foreign_material(source: Source, path: Path) -> Source:
    """The table with ``foreign_material`` from a file; images that the file does not name are unknown.

    Raises:
        ReidbenchError: the file cannot be read, lacks a column, holds other values, or names no image of the table.
    """
    try:
        said = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise ReidbenchError(f"--foreign-material {path}: not a readable CSV: {error}") from error
    for column in ("image_id", FOREIGN):
        if column not in said:
            raise ReidbenchError(f"--foreign-material {path}: there is no column {column!r}")
    wrong = ~said[FOREIGN].isin(("0", "1"))
    if wrong.any():
        raise ReidbenchError(f"--foreign-material {path}: {said.loc[wrong, FOREIGN].iloc[0]!r} is neither 0 nor 1")
    of = dict(zip(said["image_id"], said[FOREIGN].astype(float)))
    frame = source.frame.assign(**{FOREIGN: source.frame["image_id"].map(of).astype(float)})
    if frame[FOREIGN].isna().all():
        raise ReidbenchError(f"--foreign-material {path}: it names none of the images that are there")
    return replace(source, frame=frame)


def split_shares(cohort: Cohort) -> list[str]:
    """What there is of each split, beside what the paper used where it is the paper's dataset."""
    lines = []
    for split in facts.CHESTXRAY14:
        part = cohort.frame[cohort.frame["split"] == split]
        line = f"{split}: {len(part):,} images of {part['patient_id'].nunique():,} patients"
        if cohort.name == "chestxray14":
            images, patients = facts.CHESTXRAY14[split]
            line += f"; the paper: {images:,} of {patients:,} ({percent(len(part), images)} of its images)"
        lines.append(line)
    return lines


def percent(part: int, whole: int) -> str:
    """A share in per cent; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
