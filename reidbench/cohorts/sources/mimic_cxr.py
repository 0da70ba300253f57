"""MIMIC-CXR-JPG (Johnson et al., 2019) as published: tables, and ``files/pNN/pNNNNNNNN/sNNNNNNNN/<dicom_id>.jpg``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import Source, Understood
from reidbench.cohorts.sources.chexpert import DEVICES, FINDINGS, finding, finding_understood
from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.csv_table import read_csv
from reidbench.cohorts.sources.tables.missing import missing
from reidbench.cohorts.sources.tables.worded import WordedDataset
from reidbench.errors import ReidbenchError

_SPLITS = {"train": "train", "validate": "val", "test": "test"}


class MimicCxr(WordedDataset):
    """MIMIC-CXR-JPG: 377,110 X-rays of 65,379 patients; any part of the download will do.

    Sex and age are in MIMIC-IV's table ``patients``: put it into the folder, or name it. Days are counted within a
    patient, whose dates are shifted together. ``Support Devices`` becomes ``foreign_material``.
    """

    name: ClassVar[str] = "mimic_cxr"

    patients: Path | None = Field(
        None, description="MIMIC-IV's patients.csv or patients.csv.gz; without it looked for in the folder"
    )
    splits: Literal["official", "hash"] = Field(
        "official", description="the official splits, or by hash of the patient"
    )
    uncertain: Literal["zeros", "ones", "unknown"] = Field(
        "zeros", description="what a finding labelled uncertain (-1) counts as"
    )

    def source(self) -> Source:
        """Reads the tables, and which files are there."""
        root = self.require_root()
        keys = ["subject_id", "study_id"]
        wanted = ("dicom_id", *keys, "ViewPosition", "StudyDate")
        frame = read_csv(self._required(root, "metadata"), wanted, where=self.name)
        frame = frame.rename(columns={"ViewPosition": "view"})
        notes: list[str] = []
        if self.splits == "official":
            lists = read_csv(self._required(root, "split"), ("dicom_id", "split"), where=self.name)
            split = frame["dicom_id"].map(lists.set_index("dicom_id")["split"]).map(_SPLITS)
            if split.isna().any():
                notes.append(f"{int(split.isna().sum()):,} images are in no official split and are left out")
            frame = frame.assign(split=split)[split.notna()].reset_index(drop=True)
        else:
            frame["split"] = self.assign(frame["subject_id"])
        frame["patient_id"] = frame["subject_id"]
        day, read = days.dates(frame["StudyDate"])
        frame["days"] = days.since_first(day, frame["patient_id"])
        found = [read]
        frame["follow_up"] = _visits(frame.assign(day=day))
        labels = self._labels(root, frame, keys, notes, found)
        self._persons(root, frame, day, notes)
        frame["image_id"] = frame["dicom_id"]
        parts = zip(frame["subject_id"], frame["study_id"], frame["dicom_id"])
        paths = (root / "files" / f"p{p[:2]}" / f"p{p}" / f"s{s}" / f"{image}.jpg" for p, s, image in parts)
        frame["path"] = [str(path) if path.is_file() else None for path in paths]
        frame = frame.drop(columns=["dicom_id", "StudyDate", *keys])
        return self.finished(frame, labels, notes, "images of MIMIC-CXR-JPG that its table names", root, found)

    def _labels(
        self, root: Path, frame: pd.DataFrame, keys: list[str], notes: list[str], found: list[Understood]
    ) -> tuple[str, ...]:
        path = self._table(root, "chexpert")
        if path is None:
            notes.append("the table of labels (mimic-cxr-2.0.0-chexpert.csv.gz) is not there: no findings")
            return ()
        table = read_csv(path, [*keys, DEVICES, *FINDINGS], where=self.name).drop_duplicates(keys)
        studies = frame[keys].merge(table, on=keys, how="left", indicator=True)
        known = (studies["_merge"] == "both").to_numpy()
        for title, label in [*FINDINGS.items(), (DEVICES, "foreign_material")]:
            # A study without a line was not labelled; one with a line and an empty field does not mention the finding.
            frame[label] = finding(studies[title], self.uncertain).where(known).to_numpy()
            found += finding_understood(title, studies[title])
        return tuple(FINDINGS.values())

    def _persons(self, root: Path, frame: pd.DataFrame, day: pd.Series, notes: list[str]) -> None:
        """Sex, and the age at the study: the anchor's, and the years since then."""
        candidates = [root / f"{folder}patients.csv{ending}" for folder in ("", "hosp/") for ending in ("", ".gz")]
        path = self.patients or next((path for path in candidates if path.is_file()), None)
        if path is None:
            notes.append("MIMIC-IV's patients.csv is not there: sex and age are unknown")
            return
        wanted = ("subject_id", "gender", "anchor_age", "anchor_year")
        table = (
            read_csv(path.expanduser(), wanted, where=self.name).drop_duplicates("subject_id").set_index("subject_id")
        )
        of = table.reindex(frame["subject_id"]).reset_index(drop=True)
        frame["sex"] = of["gender"]
        year = frame["StudyDate"].str[:4].where(day.notna())
        number = [columns.numbers(column) for column in (of["anchor_age"], of["anchor_year"], year)]
        # Ages over 89 are published as 91.
        age = number[0] + number[2] - number[1]
        frame["age"] = age.map("{:g}".format).astype(object).where(age.notna(), None)
        # An anchor that is no number is counted as a value that is not understood.
        for text, value in ((of["anchor_age"], number[0]), (of["anchor_year"], number[1])):
            frame["age"] = frame["age"].where(value.notna() | missing(text), text)

    def _required(self, root: Path, what: str) -> Path:
        found = self._table(root, what)
        if found is None:
            raise ReidbenchError(f"{self.name}: {root} lacks the table mimic-cxr-2.0.0-{what}.csv (or .csv.gz)")
        return found

    def _table(self, root: Path, what: str) -> Path | None:
        found = sorted(path for ending in ("", ".gz") for path in root.glob(f"mimic-cxr-2.*-{what}.csv{ending}"))
        return found[0] if found else None


def _visits(frame: pd.DataFrame) -> np.ndarray:
    """The number of each study within its patient, from 0, by date."""
    studies = frame[["subject_id", "study_id", "day"]].drop_duplicates(["subject_id", "study_id"])
    studies = studies.sort_values(["subject_id", "day", "study_id"])
    studies["visit"] = studies.groupby("subject_id").cumcount().astype(np.float64)
    return frame.merge(studies, on=["subject_id", "study_id"], how="left")["visit"].to_numpy()
