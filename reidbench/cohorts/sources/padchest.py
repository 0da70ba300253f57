"""PadChest (Bustos et al., Medical Image Analysis 2020) as published: its CSV, and ``<ImageDir>/<ImageID>``."""

from __future__ import annotations

import ast
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.base import Source
from reidbench.cohorts.sources.file_dataset import index_files
from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.csv_table import csv_columns, read_csv
from reidbench.cohorts.sources.tables.missing import identifiers, missing, studies
from reidbench.cohorts.sources.tables.worded import WordedDataset
from reidbench.errors import ReidbenchError

_TABLE = "PADCHEST_chest_x_ray_images_labels_160K*.csv"
_COLUMNS = {
    "ImageID": "image_id",
    "ImageDir": "folder",
    "StudyDate_DICOM": "date",
    "PatientID": "patient_id",
    "PatientBirth": "birth",
    "PatientSex_DICOM": "sex",
    "Projection": "view",
    "PhotometricInterpretation_DICOM": "photometric",
    "Labels": "labels",
}
# PadChest's words for what ChestX-ray14 names so.
_FINDINGS = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "pleural effusion": "Effusion",
    "infiltrates": "Infiltration",
    "mass": "Mass",
    "nodule": "Nodule",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "consolidation": "Consolidation",
    "pulmonary edema": "Edema",
    "emphysema": "Emphysema",
    "pulmonary fibrosis": "Fibrosis",
    "pleural thickening": "Pleural_Thickening",
    "hiatal hernia": "Hernia",
}
# Reports that say nothing of the image.
_NOTHING_SAID = "exclude"


class PadChest(WordedDataset):
    """PadChest: 160,000 X-rays of 67,000 patients, PNG files of 16 bits; any part of the download will do.

    Images lie in ``<ImageDir>/``, in ``images/`` or beside the table. Those that were stored as MONOCHROME1 are
    inverted. It has no official split: patients are assigned by hash.
    """

    name: ClassVar[str] = "padchest"

    def source(self) -> Source:
        """Reads the table, and which files are there."""
        root = self.require_root()
        tables = sorted([*root.glob(_TABLE), *root.glob(_TABLE + ".gz")])
        if not tables:
            raise ReidbenchError(f"{self.name}: {root} lacks the table {_TABLE.replace('*', '_01.02.19')}")
        there = csv_columns(tables[-1], where=self.name)
        study = [name for name in ("StudyID",) if name in there]
        frame = read_csv(tables[-1], [*_COLUMNS, *study], where=self.name).rename(columns=_COLUMNS)
        if study:
            frame["study"] = studies(frame.pop("StudyID"))
        notes = []
        frame["patient_id"] = identifiers(frame["patient_id"])
        for column, what in (("patient_id", "no patient"), ("image_id", "no image")):
            gone = missing(frame[column])
            if gone.any():
                notes.append(f"{int(gone.sum()):,} rows name {what} and are left out")
                frame = frame[~gone].reset_index(drop=True)
        twice = frame["image_id"].duplicated()
        if twice.any():
            notes.append(f"{int(twice.sum()):,} rows name an image that was named before and are left out")
            frame = frame[~twice].reset_index(drop=True)
        found = [_labels(text) for text in frame["labels"].fillna("")]
        silent = np.array([not words or _NOTHING_SAID in words for words in found])
        for word, label in _FINDINGS.items():
            frame[label] = np.where(silent, np.nan, [float(word in words) for words in found])
        frame["split"] = self.assign(frame["patient_id"])
        day, read = days.dates(frame["date"])
        frame["days"] = days.since_first(day, frame["patient_id"])
        # The month of birth is not published: the age is that at the end of the year of the study.
        years = [columns.numbers(text.str[:4]) for text in (frame["date"].where(day.notna()), frame["birth"])]
        age = years[0] - years[1]
        # A year of birth that is none, or lies after the study, is counted as a value that is not understood.
        words = age.map("{:g}".format).astype(object).where(age.notna(), None)
        frame["age"] = words.where(years[1].notna() | missing(frame["birth"]), frame["birth"])
        frame["inverted"] = (frame["photometric"] == "MONOCHROME1").astype(np.float64)
        frame["path"] = self._paths(frame)
        frame = frame.drop(columns=["folder", "date", "birth", "photometric", "labels"])
        return self.finished(
            frame, tuple(_FINDINGS.values()), notes, "images that PadChest's table names", root, [read]
        )

    def _paths(self, frame: pd.DataFrame) -> list[str | None]:
        root = self.require_root()
        anywhere = index_files([root / "images", root])
        folders = {
            name: index_files([root / name, root / "images" / name]) for name in frame["folder"].dropna().unique()
        }
        return [
            folders.get(folder, {}).get(image) or anywhere.get(image)
            for folder, image in zip(frame["folder"], frame["image_id"])
        ]

    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Decodes the files of the rows, (len(rows), size, size) uint8; MONOCHROME1 inverted."""
        pixels = super().read(rows, size)
        inverted = rows["inverted"].to_numpy() == 1
        pixels[inverted] = 255 - pixels[inverted]
        return pixels

    def fingerprint(self, frame: pd.DataFrame) -> str:
        """That of the files, and which of them are inverted."""
        which = "".join("1" if value == 1 else "0" for value in frame["inverted"])
        return f"{super().fingerprint(frame)} {which}"


def _labels(text: str) -> frozenset[str]:
    """The words of a list as Python writes it: ``['pneumonia', ' infiltrates']``."""
    try:
        found = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        found = text.strip("[]").split(",")
    return frozenset(str(word).strip().strip("'\"").strip().lower() for word in found) - {""}
