"""What is in a dataset: counts, follow-ups, findings, and what is wrong with its files, before any attack is run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Cohort, Dataset, Understood
from reidbench.cohorts.copies import find_copies, mark_copies, same_visit_pairs
from reidbench.cohorts.load import prepared, read_pixels, read_source
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.pixels.contact_sheet import draw_contact_sheet
from reidbench.cohorts.table import checked_table, counts
from reidbench.progress import Progress


@dataclass(frozen=True)
class Duplicate:
    """Images that are equal in every pixel once decoded; more than one patient is an error of the dataset.

    Attributes:
        images, patients, splits: of all of them, without repetition.
    """

    images: tuple[str, ...]
    patients: tuple[str, ...]
    splits: tuple[str, ...]

    @property
    def across_patients(self) -> bool:
        """One image under several patients: a genuine pair that counts as an impostor."""
        return len(self.patients) > 1

    @property
    def across_splits(self) -> bool:
        """One image in several splits: a leak from training to testing."""
        return len(self.splits) > 1

    def to_text(self) -> str:
        """One line."""
        line = f"the same pixels: {', '.join(self.images)}"
        if self.across_patients:
            line += f"; under the patients {', '.join(self.patients)}"
        if self.across_splits:
            line += f"; in {' and '.join(self.splits)}"
        return line


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        cohort: the readable images.
        splits: counts by split of the files that are there, splits as the dataset gives them.
        run_splits: the same as a run takes them: with a validation part, without unreadable images.
        official: the same for everything the metadata names.
        images_per_patient: how many patients have so many images.
        follow_up: time between first and last image of patients with several: ``unit`` (days or years), ``median``,
            ``longest``; None where the table has no time.
        labels: of each finding, in how many ``images`` it is, and their ``share`` of those where it is known.
        understood: of columns whose values are words, what was read and what was not.
        unreadable: image names and why.
        duplicates: groups of equal images.
        copied_pairs: how many genuine pairs are the same picture under two names.
        similar_pairs: how many further ones are nearly the same picture.
        same_visit_pairs: how many genuine pairs are of one visit; None where the table says nothing of visits.
        notes: what a person must know, a line each.
    """

    cohort: Cohort
    splits: dict[str, dict[str, int]]
    run_splits: dict[str, dict[str, int]]
    official: dict[str, dict[str, int]]
    images_per_patient: dict[int, int]
    follow_up: dict[str, float | str] | None
    labels: dict[str, dict[str, float | None]]
    understood: tuple[Understood, ...]
    unreadable: dict[str, str]
    duplicates: tuple[Duplicate, ...]
    copied_pairs: int
    similar_pairs: int
    same_visit_pairs: int | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types, without pixels."""
        return {
            "dataset": self.cohort.name,
            "size": self.cohort.size,
            "splits": self.splits,
            "run_splits": self.run_splits,
            "official": self.official,
            "images_per_patient": {str(count): patients for count, patients in self.images_per_patient.items()},
            "follow_up": self.follow_up,
            "copied_pairs": self.copied_pairs,
            "similar_pairs": self.similar_pairs,
            "same_visit_pairs": self.same_visit_pairs,
            "labels": self.labels,
            "columns": {
                found.column: {
                    "known": found.known,
                    **found.others,
                    "unknown": found.unknown,
                    "not_understood": found.strange,
                }
                for found in self.understood
            },
            "unreadable": self.unreadable,
            "duplicates": [
                {
                    "images": list(group.images),
                    "patients": list(group.patients),
                    "splits": list(group.splits),
                    "across_patients": group.across_patients,
                    "across_splits": group.across_splits,
                }
                for group in self.duplicates
            ],
            "notes": list(map(with_names, self.notes)),
        }

    def to_text(self) -> str:
        """The same as text: a table of counts, then one line for each other fact."""
        head = f"{'':12}{'images':>10}{'patients':>10}{'images of patients with several':>34}{'genuine pairs':>16}"
        lines = [f"{self.cohort.name}, decoded at {self.cohort.size}×{self.cohort.size}", head]
        tables = [("there", self.splits), ("in a run", self.run_splits), ("official", self.official)]
        for title, table in tables:
            if title != "there" and table == self.splits:
                lines.append(f"{title}: the same")
                continue
            lines.append(f"{title}:")
            lines += [
                f"  {split:10}{n['images']:10,}{n['patients']:10,}{n['multi_images']:34,}{n['positive_pairs']:16,}"
                for split, n in table.items()
            ]
        several = sum(patients for count, patients in self.images_per_patient.items() if count > 1)
        lines.append(f"images per patient: up to {max(self.images_per_patient)}; {several:,} patients have several")
        if self.follow_up:
            unit = self.follow_up["unit"]
            lines.append(
                f"follow-up of those: {self.follow_up['median']:g} {unit} at the median, "
                f"{self.follow_up['longest']:g} {unit} at most"
            )
        several_pairs = sum(n["positive_pairs"] for n in self.run_splits.values())
        lines.append(f"genuine pairs that are the same picture: {self.copied_pairs:,} of {several_pairs:,}")
        lines.append(f"genuine pairs that are nearly the same picture: {self.similar_pairs:,} of {several_pairs:,}")
        if self.same_visit_pairs is not None:
            lines.append(f"genuine pairs of one visit: {self.same_visit_pairs:,} of {several_pairs:,}")
        for column in self.understood:
            strange = "".join(f", {value!r} not understood: {count:,}" for value, count in column.strange.items())
            others = "".join(f", {count:,} {value}" for value, count in column.others.items())
            lines.append(f"{column.column}: {column.known:,} known{others}, {column.unknown:,} unknown{strange}")
        for label, found in self.labels.items():
            share = "none known" if found["share"] is None else f"{found['share']:7.2%}"
            lines.append(f"  {label:30}{found['images']:10,} {share}")
        lines += [f"unreadable: {name}: {reason}" for name, reason in self.unreadable.items()]
        lines += [group.to_text() for group in self.duplicates]
        return "\n".join([*lines, *(f"note: {with_names(note)}" for note in self.notes)])

    def contact_sheet(self, path: Path) -> None:
        """Writes a PNG of some patients, a row each, their images from the first to the last.

        Raises:
            ReidbenchError: the file cannot be written.
        """
        draw_contact_sheet(self.cohort, path)


def check_dataset(
    dataset: Dataset, *, size: int, cache: Path, workers: int | None = None, progress: Progress | None = None
) -> CheckReport:
    """Reads a dataset whole and says what is there.

    Args:
        dataset: to be checked.
        size: width and height at which images are decoded and compared, 16 to 1024 pixels.
        cache: the folder that holds the pixel stores.
        workers, progress: as for :func:`reidbench.cohorts.load.load_cohort`.

    Raises:
        ReidbenchError: as for :func:`reidbench.cohorts.load.load_cohort`.
    """
    given = read_source(dataset)
    own = checked_table(given.frame, given.labels, dataset.name)
    whole = own if given.whole is None else checked_table(given.whole, given.labels, dataset.name)
    source = prepared(given, dataset.name)
    cohort, unreadable = read_pixels(dataset, source, size=size, cache=cache, workers=workers, progress=progress)
    copies = find_copies(cohort)
    cohort = mark_copies(cohort, dataset, copies)
    return CheckReport(
        cohort=cohort,
        splits=counts(own),
        run_splits=counts(cohort.frame),
        official=counts(whole),
        images_per_patient=_images_per_patient(cohort.frame),
        follow_up=_follow_up(cohort.frame),
        labels={label: _prevalence(cohort.frame[label]) for label in cohort.labels},
        understood=given.understood,
        unreadable=unreadable,
        duplicates=tuple(find_duplicates(cohort)),
        copied_pairs=copies.pairs,
        similar_pairs=copies.similar_pairs,
        same_visit_pairs=same_visit_pairs(cohort.frame),
        notes=cohort.notes,
    )


def find_duplicates(cohort: Cohort) -> list[Duplicate]:
    """Groups of images whose stored pixels are equal, in table order.

    At a small size two different images could come out equal; in practice only blank ones do.
    """
    digests = pd.Series([hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in cohort.pixels])
    alike = digests.duplicated(keep=False)
    groups = digests[alike].groupby(digests[alike], sort=False).groups.values()
    result = []
    for rows in groups:
        part = cohort.frame.iloc[np.asarray(rows)]
        result.append(
            Duplicate(
                tuple(part["image_id"]),
                tuple(str(patient) for patient in part["patient_id"].unique()),
                tuple(part["split"].unique()),
            )
        )
    return result


def _images_per_patient(frame: pd.DataFrame) -> dict[int, int]:
    sizes = frame.groupby("patient_id").size().value_counts().sort_index()
    return {int(count): int(patients) for count, patients in sizes.items()}  # type: ignore[call-overload]


def _follow_up(frame: pd.DataFrame) -> dict[str, float | str] | None:
    unit = next((unit for unit in ("days", "years") if unit in frame and frame[unit].notna().any()), None)
    if unit is None:
        return None
    known = frame[frame[unit].notna()].groupby("patient_id")[unit]
    spans = (known.max() - known.min())[known.size() > 1]
    if spans.empty:
        return None
    return {"unit": unit, "median": float(spans.median()), "longest": float(spans.max())}


def _prevalence(finding: pd.Series) -> dict[str, float | None]:
    known = finding.dropna()
    return {"images": int(known.sum()), "share": float(known.mean()) if len(known) else None}
