"""BRAX (Reis et al., Scientific Data 2022) as published: ``master_spreadsheet_update.csv`` and ``images/`` (PNG)."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field

from reidbench.cohorts.base import Source
from reidbench.cohorts.sources.chexpert import DEVICES, FINDINGS, finding, finding_understood
from reidbench.cohorts.sources.tables import days
from reidbench.cohorts.sources.tables.csv_table import csv_columns, read_csv
from reidbench.cohorts.sources.tables.missing import identifiers, missing, studies
from reidbench.cohorts.sources.tables.worded import WordedDataset
from reidbench.errors import ReidbenchError

_TABLES = ("master_spreadsheet_update.csv", "master_spreadsheet.csv")
_COLUMNS = {"PatientID": "patient_id", "PatientSex": "sex", "PatientAge": "age", "ViewPosition": "view"}
# Ages from 85 on are published as one value.
_OLD = re.compile(r"(\d+) or more", re.IGNORECASE)


class Brax(WordedDataset):
    """BRAX: 40,967 X-rays of 19,351 patients of a Brazilian hospital; the PNG files, or the DICOM files.

    It has no official split: patients are assigned by hash. ``Support Devices`` becomes ``foreign_material``.
    """

    name: ClassVar[str] = "brax"

    files: Literal["png", "dicom"] = Field("png", description="which of the two forms of each image is read")
    uncertain: Literal["zeros", "ones", "unknown"] = Field(
        "zeros", description="what a finding labelled uncertain (-1) counts as"
    )

    def source(self) -> Source:
        """Reads the table, and which files are there."""
        root = self.require_root()
        table = next((root / name for name in _TABLES if (root / name).is_file()), None)
        if table is None:
            raise ReidbenchError(f"{self.name}: {root} lacks the table {_TABLES[0]}")
        where = "PngPath" if self.files == "png" else "DicomPath"
        wanted = (where, *_COLUMNS, "StudyDate", DEVICES, *FINDINGS)
        study = [name for name in ("AccessionNumber",) if name in csv_columns(table, where=self.name)]
        frame = read_csv(table, (*wanted, *study), where=self.name).rename(columns={**_COLUMNS, where: "image_id"})
        if study:
            frame["study"] = studies(frame.pop("AccessionNumber"))
        notes = []
        frame["patient_id"] = identifiers(frame["patient_id"])
        for column, what in (("image_id", "file"), ("patient_id", "patient")):
            gone = missing(frame[column])
            if gone.any():
                notes.append(f"{int(gone.sum()):,} rows name no {what} and are left out")
                frame = frame[~gone].reset_index(drop=True)
        found = []
        for title, label in [*FINDINGS.items(), (DEVICES, "foreign_material")]:
            text = frame.pop(title)
            frame[label] = finding(text, self.uncertain)
            found += finding_understood(title, text)
        frame["age"] = frame["age"].str.replace(_OLD, r"\1", regex=True)
        day, read = days.dates(frame.pop("StudyDate"))
        frame["days"] = days.since_first(day, frame["patient_id"])
        found.append(read)
        frame["split"] = self.assign(frame["patient_id"])
        frame["path"] = [str(root / image) if (root / image).is_file() else None for image in frame["image_id"]]
        return self.finished(frame, tuple(FINDINGS.values()), notes, f"images that {table.name} names", root, found)
