"""A folder of image files without any table: the patient is a folder's name, or a part of the path."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import Source
from reidbench.cohorts.notes import Note, with_names
from reidbench.cohorts.pixels.decode import is_dicom
from reidbench.cohorts.sources.file_dataset import (
    FileDataset,
    HashSplit,
    in_unicode,
    not_entered,
    not_unicode,
    walk_files,
)
from reidbench.cohorts.sources.tables.missing import identifiers
from reidbench.errors import ReidbenchError

_ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".dicom", ".jp2", ".pgm")
)
# Of runs whose folder lies among the images: pictures beside a record, NAME-ID.examples.webp.
_BESIDE_A_RECORD = re.compile(r"-[0-9a-f]{16}\.(?:examples|attention)\.webp$")


def _is_image(path: Path) -> bool:
    """Whether a file is an image by its ending; DICOM files often have none, or the last number of an identifier."""
    if _BESIDE_A_RECORD.search(path.name):
        return False
    ending = path.suffix.lower()
    if ending in _ENDINGS:
        return True
    with contextlib.suppress(OSError):
        return (not ending or ending[1:].isdecimal()) and path.name.upper() != "DICOMDIR" and is_dicom(path)
    return False


class PlainFolder(HashSplit):
    """Image files without a table: ``PATIENT/IMAGE``, or a regular expression that finds the patient in the path.

    Files of other kinds, images in no patient's folder, hidden folders and those of a system (``@eaDir``) are left out
    and counted. A link to a folder that is read anyway is no further patient. Patients are assigned to splits by hash.
    """

    name: ClassVar[str] = "plain_folder"
    every_file: ClassVar[bool] = True

    patient: str = Field(
        r"^([^/]+)/",
        description="regular expression with one group: the patient in an image's path below the folder",
    )
    copies: Literal["leave_out", "leave_out_similar", "keep"] = Field(
        "leave_out_similar", description=FileDataset.model_fields["copies"].description
    )
    links: Literal["inside", "follow"] = Field(
        "inside", description="whether links that lead out of the folder are left out or followed"
    )

    def source(self) -> Source:
        """Looks for image files at any depth."""
        root = self.require_root()
        try:
            pattern = re.compile(self.patient)
        except re.error as error:
            raise ReidbenchError(f"{self.name}: patient={self.patient} is not a regular expression: {error}") from error
        if pattern.groups != 1:
            raise ReidbenchError(
                f"{self.name}: patient={self.patient} has {pattern.groups} groups; one is needed, the patient's: "
                r"patient=^(\d+)_"
            )
        left_out: list[str] = []
        skipped: list[str] = []
        walked = walk_files(root, follow=self.links == "follow", left_out=left_out, skipped=skipped)
        names, strange = in_unicode(path.relative_to(root).as_posix() for path in walked)
        names.sort()
        images = [name for name in names if not Path(name).name.startswith((".", "~$")) and _is_image(root / name)]
        found = [pattern.search(name) for name in images]
        groups = pd.Series([match[1] if match and match[1] else None for match in found], dtype=object)
        # A folder `unknown` holds strangers, not one patient.
        patients = [None if pd.isna(name) else name for name in identifiers(groups)]
        notes: list[str] = []
        if left_out:
            told = f"{len(left_out):,} links lead out of the folder and are left out; links=follow follows them"
            notes.append(Note(told, ", ".join(left_out[:3])))
        if strange:
            notes.append(not_unicode(strange))
        notes += not_entered(skipped)
        if len(images) < len(names):
            notes.append(f"{len(names) - len(images):,} files are not images by their names and are left out")
        alone = sum(patient is None for patient in patients)
        if alone:
            first = images[patients.index(None)]
            notes.append(
                Note(f"{alone:,} images have no patient by patient={self.patient} and are left out", f"such as {first}")
            )
        frame = pd.DataFrame(
            {"image_id": images, "patient_id": patients, "path": [str(root / name) for name in images]}
        )
        frame = frame[frame["patient_id"].notna().to_numpy(dtype=np.bool_)].reset_index(drop=True)
        if frame.empty:
            told = f"; {'; '.join(map(with_names, notes))}" if notes else ""
            raise ReidbenchError(f"{self.name}: {root} holds no image of a patient (PATIENT/IMAGE){told}")
        frame["split"] = self.assign(frame["patient_id"])
        return Source(frame, (), tuple(notes))
