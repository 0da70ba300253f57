"""Any folder of images: with a CSV manifest that says whose they are, or of DICOM files, whose headers say so."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import CHESTXRAY14_LABELS, Source
from reidbench.cohorts.pixels.decode import is_dicom
from reidbench.cohorts.pixels.dicom import read_header
from reidbench.cohorts.sources import columns
from reidbench.cohorts.sources.file_dataset import HashSplit, csv_columns, read_csv
from reidbench.errors import ReidbenchError

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NUMBERS = ("follow_up", "days", "foreign_material")


class Folder(HashSplit):
    """Your own images: a folder with a CSV manifest, or a folder of DICOM files at any depth.

    The manifest has one row per image: its path below the folder, its patient, and what else is known, under names that
    the options give. Without one, all DICOM files are read, and PatientID is the patient. Splits are the manifest's; if
    it has none, patients are assigned by hash.
    """

    name: ClassVar[str] = "folder"

    manifest: str = Field(
        "manifest.csv", description="the CSV, below the folder; without it DICOM files are looked for"
    )
    image: str = Field("path", description="manifest column: path of the image, below the folder")
    patient: str = Field("patient_id", description="manifest column: patient")
    split: str = Field("split", description="manifest column: train, val or test; may be missing")
    sex: str = Field("sex", description="manifest column: M or F; may be missing")
    age: str = Field("age", description="manifest column: age in years, or as DICOM writes it; may be missing")
    view: str = Field("view", description="manifest column: PA or AP; may be missing")
    follow_up: str = Field("follow_up", description="manifest column: number of the visit; may be missing")
    days: str = Field("days", description="manifest column: days, from whatever day; may be missing")
    foreign_material: str = Field("foreign_material", description="manifest column: 0 or 1; may be missing")
    labels: str = Field(
        "|".join(CHESTXRAY14_LABELS), description="manifest columns of findings, 0 or 1, joined by |; may be missing"
    )

    def source(self) -> Source:
        """Reads the manifest, or the headers of all DICOM files."""
        root = self.require_root()
        manifest = root / _inside(self.manifest, "manifest")
        if manifest.is_file():
            return self._from_manifest(root, manifest)
        if "manifest" in self.model_fields_set:
            raise ReidbenchError(f"{self.name}: there is no manifest {manifest}")
        return self._from_dicom(root)

    def _from_manifest(self, root: Path, manifest: Path) -> Source:
        there = set(csv_columns(manifest, where=self.name))
        labels = tuple(label for label in self.labels.split("|") if label in there)
        self._require_named(there, manifest)
        known = {role: getattr(self, role) for role in ("split", "sex", "age", "view", *_NUMBERS)}
        known = {role: column for role, column in known.items() if column in there}
        table = read_csv(manifest, dict.fromkeys([self.image, self.patient, *known.values(), *labels]), where=self.name)
        for column in (self.image, self.patient):
            empty = np.flatnonzero(table[column].isna())
            if len(empty):
                raise ReidbenchError(f"{self.name}: {manifest}, line {empty[0] + 2}: {column} is empty")
        paths = [_inside(text, f"{manifest.name}, line {row + 2}") for row, text in enumerate(table[self.image])]
        frame = pd.DataFrame({"image_id": [path.as_posix() for path in paths], "patient_id": table[self.patient]})
        convert = {"sex": columns.sexes, "age": columns.years, "view": columns.views}
        for role, column in known.items():
            if role in convert:
                frame[role] = convert[role](table[column])
            elif role != "split":
                frame[role] = self._numbers(table[column], manifest)
        for label in labels:
            frame[label] = self._numbers(table[label], manifest)
        if "days" in frame:
            frame["days"] = columns.since_first(frame["days"], frame["patient_id"])
        if "split" in known:
            frame["split"] = self._own_split(table[known["split"]], manifest)
        else:
            frame["split"] = self.assign(frame["patient_id"])
        frame["path"] = _existing(root, frame["image_id"])
        whole = frame.drop(columns="path")
        frame = frame.dropna(subset="path").reset_index(drop=True)
        if frame.empty:
            raise ReidbenchError(
                f"{self.name}: {root} holds none of the {len(whole):,} images that {manifest.name} names"
            )
        notes = []
        if len(frame) < len(whole):
            absent = len(whole) - len(frame)
            notes.append(
                f"{absent:,} of {len(whole):,} images that {manifest.name} names are not there and are left out"
            )
        return Source(frame, labels, tuple(notes), whole)

    def _require_named(self, there: set[str], manifest: Path) -> None:
        """A column that was asked for by option must be there; only a default may be missing."""
        for role in self.model_fields_set - {"root", "manifest", "val_share", "test_share"}:
            names = self.labels.split("|") if role == "labels" else [getattr(self, role)]
            for name in names:
                if name not in there:
                    raise ReidbenchError(f"{self.name}: {manifest} has no column {name!r}, named by the option {role}")

    def _own_split(self, text: pd.Series, manifest: Path) -> pd.Series:
        split = text.str.strip().str.lower().map(_SPLITS)
        wrong = np.flatnonzero(split.isna())
        if len(wrong):
            value = text.iloc[wrong[0]]
            raise ReidbenchError(
                f"{self.name}: {manifest}, line {wrong[0] + 2}: split {value!r} is none of train, val, test"
            )
        return split

    def _numbers(self, text: pd.Series, manifest: Path) -> pd.Series:
        numbers = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & text.notna())
        if len(wrong):
            raise ReidbenchError(
                f"{self.name}: {manifest}, line {wrong[0] + 2}: {text.name} {text.iloc[wrong[0]]!r} is not a number"
            )
        return numbers

    def _from_dicom(self, root: Path) -> Source:
        rows, without_patient, others = [], 0, 0
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            if not is_dicom(path):
                others += 1
                continue
            header = _header(path)
            name = path.relative_to(root).as_posix()
            if _is_no_image(header):
                others += 1
                continue
            patient = str(header.get("PatientID") or "").strip()
            if not patient and "Rows" not in header:
                # A damaged image: it stays in the table, so that the decoding names or refuses it like any other.
                patient = f"unknown, of {name}"
            if not patient:
                without_patient += 1
                continue
            fields = [str(header.get(tag) or "") for tag in ("PatientSex", "PatientAge", "ViewPosition", "StudyDate")]
            rows.append((name, patient, *fields, str(path)))
        if not rows:
            missing = f"; {without_patient:,} DICOM images have no PatientID" if without_patient else ""
            raise ReidbenchError(
                f"{self.name}: {root} holds neither a {self.manifest} nor a DICOM image with a PatientID{missing}"
            )
        names = ["image_id", "patient_id", "sex", "age", "view", "days", "path"]
        frame = pd.DataFrame(rows, columns=names)
        frame["sex"], frame["age"] = columns.sexes(frame["sex"]), columns.years(frame["age"])
        frame["view"] = columns.views(frame["view"])
        dates = pd.to_datetime(frame["days"], format="%Y%m%d", errors="coerce")
        frame["days"] = columns.since_first((dates - pd.Timestamp(0)).dt.days.astype(float), frame["patient_id"])
        frame["split"] = self.assign(frame["patient_id"])
        notes = []
        if without_patient:
            notes.append(f"{without_patient:,} DICOM images have no PatientID and are left out")
        if others:
            notes.append(f"{others:,} files are no DICOM image and are left out")
        return Source(frame, (), tuple(notes))


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
    """Whether a header is that of a report or a directory file: it has no rows, and says that it is no image."""
    meta = getattr(header, "file_meta", {})
    # Of a file cut short the last value may be a part of one: what follows the kind has to be there too.
    if "Rows" in header or "TransferSyntaxUID" not in meta:
        return False
    kind = meta.get("MediaStorageSOPClassUID")
    return bool(kind) and "Image Storage" not in getattr(kind, "name", "")


def _inside(text: str, where: str) -> PurePosixPath:
    """A path below the root as the manifest writes it; one that is absolute or climbs is refused."""
    path = PurePosixPath(text.strip())
    if path.is_absolute() or PureWindowsPath(text).anchor or ".." in path.parts:
        raise ReidbenchError(
            f"folder: {where}: the path {text!r} leaves the dataset's folder; paths must stay below --root"
        )
    return path


def _existing(root: Path, names: pd.Series) -> list[str | None]:
    """Absolute paths of the files that are there.

    Raises:
        ReidbenchError: a link leads out of the root: a manifest from elsewhere must not pull in files of this machine.
    """
    real = os.path.realpath(root)
    folders: dict[str, bool] = {}
    paths: list[str | None] = []
    for name in names:
        path = os.path.join(real, name)  # noqa: PTH118 - strings, for a hundred thousand rows
        parent = os.path.dirname(path)  # noqa: PTH120
        if parent not in folders:
            folders[parent] = _below(os.path.realpath(parent), real)
        if not folders[parent] or (os.path.islink(path) and not _below(os.path.realpath(path), real)):  # noqa: PTH114
            raise ReidbenchError(f"folder: {name!r} leads out of {root} by a link; give the real folder as --root")
        paths.append(path if os.path.isfile(path) else None)  # noqa: PTH113
    return paths


def _below(path: str, root: str) -> bool:
    return os.path.commonpath([path, root]) == root
