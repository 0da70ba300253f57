"""The table of a folder of DICOM files, from their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from reidbench.cohorts.notes import Note
from reidbench.cohorts.pixels.decode import is_dicom
from reidbench.cohorts.pixels.dicom import read_header
from reidbench.cohorts.sources.file_dataset import in_unicode, not_entered, not_unicode, walk_files
from reidbench.cohorts.sources.tables.missing import folded, is_missing, studies
from reidbench.errors import ReidbenchError

_TAGS = {
    "sex": ("PatientSex",),
    "age": ("PatientAge",),
    "view": ("ViewPosition",),
    "days": ("StudyDate", "AcquisitionDate", "ContentDate"),
    "study": ("StudyInstanceUID", "AccessionNumber", "StudyID"),
}


def dicom_table(root: Path, *, follow: bool) -> tuple[pd.DataFrame, list[str]]:
    """What the headers of all DICOM images below a folder say.

    Args:
        root: the folder.
        follow: whether links out of it are followed.

    Returns:
        One row per image with ``image_id``, ``patient_id``, ``path``, ``study`` as a number, and as text, missing where
        a header says nothing, ``sex``, ``age``, ``view`` and the date as ``days``; and notes on what was left out.

    Raises:
        ReidbenchError: pydicom is not installed.
    """
    rows, without_patient, others = [], 0, 0
    left_out: list[str] = []
    strange: list[str] = []
    skipped: list[str] = []
    for path in sorted(walk_files(root, follow=follow, left_out=left_out, skipped=skipped)):
        name = path.relative_to(root).as_posix()
        if in_unicode([name])[1]:
            strange.append(name)
            continue
        if not path.exists() or not is_dicom(path):
            others += 1
            continue
        header = _header(path)
        if _is_no_image(header):
            others += 1
            continue
        patient = folded(str(header.get("PatientID") or ""))
        if not patient and "Rows" not in header:
            # A damaged image: it stays in the table, so that the decoding names or refuses it like any other.
            patient = f"unknown, of {name}"
        if is_missing(patient):
            without_patient += 1
            continue
        rows.append((name, patient, *(_first(header, tags) for tags in _TAGS.values()), str(path)))
    frame = pd.DataFrame(rows, columns=["image_id", "patient_id", *_TAGS, "path"], dtype=object)
    frame["study"] = studies(frame["study"])
    notes: list[str] = []
    if left_out:
        told = f"{len(left_out):,} links lead out of the folder and are left out; links=follow follows them"
        notes.append(Note(told, ", ".join(left_out[:3])))
    notes += not_entered(skipped)
    if without_patient:
        notes.append(f"{without_patient:,} DICOM images have no PatientID and are left out")
    if strange:
        notes.append(not_unicode(strange))
    if others:
        notes.append(f"{others:,} files are not DICOM images and are left out")
    return frame, notes


def _first(header: Any, tags: tuple[str, ...]) -> str | None:
    """The first of some elements that says something."""
    return next((text for tag in tags if (text := str(header.get(tag) or "")).strip()), None)


def _header(path: Path) -> Any:
    """What a DICOM file says before its pixels; nothing where it is too damaged to be parsed.

    Raises:
        ReidbenchError: pydicom is not installed.
    """
    try:
        return read_header(path)
    except ReidbenchError:
        raise
    except Exception:
        # A parser meets hostile bytes and raises whatever it likes; all of it means the same.
        return {}


def _is_no_image(header: Any) -> bool:
    """Whether a header is that of a report or a directory file: it has no rows, or says that it is not an image."""
    meta = getattr(header, "file_meta", {})
    # Of a file cut short the last value may be a part of one: what follows the kind has to be there too.
    if "Rows" in header or "TransferSyntaxUID" not in meta:
        return False
    kind = meta.get("MediaStorageSOPClassUID")
    return bool(kind) and "Image Storage" not in getattr(kind, "name", "")
