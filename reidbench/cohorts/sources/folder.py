"""Any folder of images: with a CSV manifest that says whose they are, or of DICOM files, whose headers say so."""

from __future__ import annotations

import os
import string
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import CHESTXRAY14_LABELS, Source
from reidbench.cohorts.notes import with_names
from reidbench.cohorts.sources.dicom_headers import dicom_table
from reidbench.cohorts.sources.file_dataset import is_below
from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.csv_table import CsvTable, csv_columns, read_table
from reidbench.cohorts.sources.tables.missing import identifiers, missing, studies
from reidbench.cohorts.sources.tables.worded import WordedDataset
from reidbench.cohorts.table import require_findings
from reidbench.errors import ReidbenchError

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_ROLES = ("split", "sex", "age", "view", "follow_up", "days", "foreign_material")
_COLUMN_OPTIONS = ("patient", "study", *_ROLES)
# Other names of the column of examinations.
_STUDIES = ("StudyInstanceUID", "StudyUID", "AccessionNumber", "StudyID", "study", "accession_number")


_STUDY_TAGS = ("StudyInstanceUID", "AccessionNumber", "StudyID")


class Folder(WordedDataset):
    """Your own images: a folder with a CSV manifest, or a folder of DICOM files at any depth.

    The manifest has one row per image: its path below the folder, its patient, and what else is known, under names that
    the options give. Without one, all DICOM files are read, and PatientID is the patient. Splits are the manifest's; if
    it has none, patients are assigned by hash. Lateral views are left out.
    """

    name: ClassVar[str] = "folder"

    manifest: Path = Field(
        Path("manifest.csv"),
        description="the CSV, below the folder or anywhere; without it DICOM files are looked for",
    )
    image: str = Field(
        "path",
        description="manifest column: path of the image, below the folder; or a path with columns in braces, as in "
        "png/{image_id}.png",
    )
    patient: str = Field("patient_id", description="manifest column: patient")
    split: str = Field("split", description="manifest column: train, val or test; may be missing")
    sex: str = Field("sex", description="manifest column: M or F; may be missing")
    age: str = Field("age", description="manifest column: age in years, or as DICOM writes it; may be missing")
    view: str = Field("view", description="manifest column: PA, AP or lateral; may be missing")
    follow_up: str = Field("follow_up", description="manifest column: number of the visit; may be missing")
    study: str = Field(
        "study_id",
        description="manifest column: the examination, which tells pairs of one visit; may be missing, or have a name "
        "of DICOM's",
    )
    days: str = Field(
        "days", description="manifest column: days, from whatever day, or dates (yyyy-mm-dd, yyyymmdd); may be missing"
    )
    foreign_material: str = Field("foreign_material", description="manifest column: 0 or 1; may be missing")
    labels: str | None = Field(
        "|".join(CHESTXRAY14_LABELS),
        description="manifest columns of findings, 0, 1 or -1 (uncertain), joined by |; may be missing; none for none",
    )
    uncertain: Literal["zeros", "ones", "unknown"] = Field(
        "unknown", description="what a finding labelled uncertain (-1) counts as"
    )
    no_patient: Literal["refuse", "leave_out"] = Field("refuse", description="what to do with images without a patient")
    links: Literal["inside", "follow"] = Field(
        "inside", description="whether links that lead out of the folder are refused or followed"
    )

    def source(self) -> Source:
        """Reads the manifest, or the headers of all DICOM files."""
        root = self.require_root()
        manifest = self._manifest(root)
        if manifest.is_file():
            return self._from_manifest(root, manifest)
        if "manifest" in self.model_fields_set:
            raise ReidbenchError(f"{self.name}: there is no manifest {manifest}")
        return self._from_dicom(root)

    def _manifest(self, root: Path) -> Path:
        below = root / self.manifest
        # One that is named and not below the folder is looked for from where the command is typed.
        return below if below.is_file() or "manifest" not in self.model_fields_set else self.manifest.expanduser()

    def _from_manifest(self, root: Path, manifest: Path) -> Source:
        there = set(csv_columns(manifest, where=self.name))
        wanted = () if self.labels is None else self.labels.split("|")
        labels = tuple(label for label in wanted if label in there)
        require_findings(labels, self.name)
        in_path = self._path_columns()
        self._require_named(there, manifest, in_path)
        known = {role: getattr(self, role) for role in _ROLES if getattr(self, role) in there}
        study = next((name for name in (self.study, *_STUDIES) if name in there), None)
        read = [*in_path, self.patient, *known.values(), *labels, *([study] if study else [])]
        table = read_table(manifest, dict.fromkeys(read), where=self.name)
        table, notes = self._with_patients(table, manifest, in_path)
        frame = pd.DataFrame(
            {"image_id": self._paths(table, in_path, manifest), "patient_id": identifiers(table.frame[self.patient])}
        )
        text, lines = table.frame, table.lines
        for role in ("sex", "age", "view"):
            if role in known:
                frame[role] = columns.mapped(text[known[role]], self.meanings(role))
        if "follow_up" in known:
            frame["follow_up"] = self._numbers(text[known["follow_up"]], lines, manifest)
        if "foreign_material" in known:
            frame["foreign_material"] = self._findings(text[known["foreign_material"]], lines, manifest)
        if study:
            frame["study"] = studies(text[study])
        for label in labels:
            frame[label] = self._findings(text[label], lines, manifest)
        if "days" in known:
            day = days.day_numbers(text[known["days"]], lines, f"{self.name}: {manifest}")
            frame["days"] = days.since_first(day, frame["patient_id"])
            days.require_a_life(frame["days"], frame["patient_id"], f"{self.name}: {manifest}, {known['days']}")
        if "split" in known:
            frame["split"] = self._own_split(text[known["split"]], lines, manifest)
        else:
            frame["split"] = self.assign(frame["patient_id"])
        frame["path"] = _existing(root, frame["image_id"], follow=self.links == "follow")
        return self.finished(frame, labels, [*table.notes, *notes], "images that the manifest names", root)

    def _path_columns(self) -> list[str]:
        """The columns of which the path of an image is made."""
        if "{" not in self.image:
            return [self.image]
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(self.image) if name is not None]
        except ValueError as error:
            raise ReidbenchError(f"{self.name}: image={self.image}: {error}") from error
        if not names or "" in names:
            raise ReidbenchError(
                f"{self.name}: image={self.image}: the braces must name a column, as in png/{{image_id}}.png"
            )
        return names

    def _paths(self, table: CsvTable, names: list[str], manifest: Path) -> list[str]:
        paths = []
        for line, row in zip(table.lines, zip(*(table.frame[name] for name in names))):
            where = f"{manifest.name}, line {line}"
            if "{" not in self.image:
                paths.append(_inside(row[0], where).as_posix())
                continue
            try:
                text = string.Formatter().vformat(self.image, (), dict(zip(names, row)))
            except (ValueError, LookupError, AttributeError) as error:
                raise ReidbenchError(f"{self.name}: image={self.image}: {error}") from error
            paths.append(_inside(text, where).as_posix())
        return paths

    def _with_patients(self, table: CsvTable, manifest: Path, in_path: list[str]) -> tuple[CsvTable, list[str]]:
        """The rows that have an image and a patient, and a note on the others."""
        for column in in_path:
            empty = np.flatnonzero(table.frame[column].isna())
            if len(empty):
                raise ReidbenchError(f"{self.name}: {manifest}, line {table.lines[empty[0]]}: {column} is empty")
        alone = missing(table.frame[self.patient]).to_numpy()
        if not alone.any():
            return table, []
        first = int(np.flatnonzero(alone)[0])
        value = table.frame[self.patient].iloc[first]
        says = f"{self.patient} is empty" if pd.isna(value) else f"{self.patient} is {value!r}, which names nobody"
        if self.no_patient == "refuse":
            raise ReidbenchError(
                f"{self.name}: {manifest}, line {table.lines[first]}: {says}; {int(alone.sum()):,} images have no "
                "patient; no_patient=leave_out leaves them out"
            )
        if alone.all():
            raise ReidbenchError(f"{self.name}: {manifest}: none of its {len(alone):,} images has a patient")
        lines = [line for line, gone in zip(table.lines, alone) if not gone]
        kept = CsvTable(table.frame[~alone].reset_index(drop=True), lines, table.notes)
        return kept, [f"{int(alone.sum()):,} images have no patient and are left out"]

    def _require_named(self, there: set[str], manifest: Path, in_path: list[str]) -> None:
        """A column that was asked for by option must be there; only a default may be missing."""
        named = {role: [getattr(self, role)] for role in _COLUMN_OPTIONS if role in self.model_fields_set}
        if "labels" in self.model_fields_set and self.labels is not None:
            named["labels"] = self.labels.split("|")
        if "image" in self.model_fields_set:
            named["image"] = in_path
        for role, names in named.items():
            for name in names:
                if name not in there:
                    raise ReidbenchError(f"{self.name}: {manifest} has no column {name!r}, named by the option {role}")

    def _own_split(self, text: pd.Series, lines: list[int], manifest: Path) -> pd.Series:
        split = columns.folded_words(text).map(_SPLITS)
        wrong = np.flatnonzero(split.isna())
        if len(wrong):
            value = text.iloc[wrong[0]]
            says = "split is empty" if pd.isna(value) else f"split {value!r} is none of train, val, test"
            raise ReidbenchError(f"{self.name}: {manifest}, line {lines[wrong[0]]}: {says}")
        return split

    def _numbers(self, text: pd.Series, lines: list[int], manifest: Path) -> pd.Series:
        numbers = columns.numbers(text)
        wrong = np.flatnonzero(numbers.isna() & ~missing(text))
        if len(wrong):
            raise ReidbenchError(
                f"{self.name}: {manifest}, line {lines[wrong[0]]}: {text.name} {text.iloc[wrong[0]]!r} is not a number"
            )
        return numbers

    def _findings(self, text: pd.Series, lines: list[int], manifest: Path) -> pd.Series:
        """A finding; what is uncertain counts as the option says."""
        wrong = np.flatnonzero(columns.findings_not_understood(text))
        if len(wrong):
            raise ReidbenchError(
                f"{self.name}: {manifest}, line {lines[wrong[0]]}: {text.name} {text.iloc[wrong[0]]!r} is not a number "
                "and no word for one (yes, no, uncertain)"
            )
        return columns.findings(text, self.uncertain)

    def _from_dicom(self, root: Path) -> Source:
        frame, notes = dicom_table(root, follow=self.links == "follow")
        if frame.empty:
            told = f"; {'; '.join(map(with_names, notes))}" if notes else ""
            raise ReidbenchError(
                f"{self.name}: {root} holds neither a {self.manifest} nor a DICOM image with a PatientID{told}; "
                "images without a table are read by the dataset plain_folder"
            )
        for role in ("sex", "age", "view"):
            frame[role] = columns.mapped(frame[role], self.meanings(role))
        frame["split"] = self.assign(frame["patient_id"])
        day, read = days.dates(frame["days"])
        frame["days"] = days.since_first(day, frame["patient_id"])
        return self.finished(frame, (), notes, "DICOM images", root, [read])


def _inside(text: str, where: str) -> PurePosixPath:
    """A path below the root as the manifest writes it; one that is absolute or climbs is refused."""
    # As Windows writes it; hardly any name has this sign in it elsewhere.
    path = PurePosixPath(text.strip() if "/" in text else text.strip().replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(text).anchor or ".." in path.parts:
        raise ReidbenchError(
            f"folder: {where}: the path {text!r} leaves the dataset's folder; paths must stay below --root"
        )
    return path


def _existing(root: Path, names: pd.Series, *, follow: bool = False) -> list[str | None]:
    """Absolute paths of the files that are there.

    Raises:
        ReidbenchError: a link leads out of the root, unless it is to be followed: a manifest from elsewhere must not
            pull in files of this machine.
    """
    real = os.path.realpath(root)
    folders: dict[str, bool] = {}
    paths: list[str | None] = []
    for name in names:
        path = os.path.join(real, name)  # noqa: PTH118 - strings, for a hundred thousand rows
        parent = os.path.dirname(path)  # noqa: PTH120
        if parent not in folders:
            folders[parent] = follow or is_below(os.path.realpath(parent), real)
        leads_out = os.path.islink(path) and not is_below(os.path.realpath(path), real)  # noqa: PTH114
        if not folders[parent] or (leads_out and not follow):
            raise ReidbenchError(
                f"folder: {name!r} leads out of {root} by a link; give the real folder as --root, or links=follow"
            )
        # Some systems store names with accents as signs of their own.
        spellings = (path,) if name.isascii() else (path, os.path.join(real, unicodedata.normalize("NFD", name)))  # noqa: PTH118
        paths.append(next(filter(os.path.isfile, spellings), None))
    return paths
