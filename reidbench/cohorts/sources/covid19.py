"""The COVID-19 Image Data Collection (Cohen et al., 2020) in its own layout: ``metadata.csv`` and ``images/``."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import Source, Understood
from reidbench.cohorts.sources.file_dataset import HashSplit, index_files
from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.csv_table import read_csv
from reidbench.cohorts.sources.tables.missing import identifiers
from reidbench.errors import ReidbenchError

_COLUMNS = ("patientid", "offset", "sex", "age", "finding", "view", "modality", "filename")
# Frontal views; lateral ones and CT slices are left out, as in Packhäuser et al. (2022).
_VIEWS = ("PA", "AP", "AP Supine")
# Older tables list findings, "COVID-19, ARDS"; newer ones write the path to one, "Pneumonia/Viral/COVID-19".
_BETWEEN_FINDINGS = re.compile("[,/]")
_NOT_A_FINDING = ("No Finding", "todo", "Unknown")


class Covid19(HashSplit):
    """COVID-19 Image Data Collection: frontal X-rays gathered from publications, few patients, many sources.

    It has no official split. Patients are assigned by hash; the test part is large, since so few patients have several
    images that a smaller one could say little.
    """

    name: ClassVar[str] = "covid19"

    test_share: float = Field(0.4, ge=0, lt=1, description="share of the patients to test on")

    def source(self) -> Source:
        """Reads the table, and which files are there."""
        root = self.require_root()
        table = read_csv(root / "metadata.csv", _COLUMNS, where=self.name)
        frontal = (table["modality"] == "X-ray") & table["view"].isin(_VIEWS)
        whole, labels = self._cohort(table[frontal].reset_index(drop=True))
        found = index_files([root / "images", root])
        frame = whole.assign(path=whole["image_id"].map(found)).dropna(subset="path").reset_index(drop=True)
        if frame.empty:
            raise ReidbenchError(
                f"{self.name}: {root} holds no frontal X-ray that metadata.csv names, in images/ or itself"
            )
        notes = []
        others = int((~frontal).sum())
        if others:
            notes.append(f"{others:,} rows that are not frontal X-rays (lateral views, CT, view unknown) are left out")
        absent = int((~table["filename"].isin(found)).sum())
        if absent:
            frontal_absent = len(whole) - len(frame)
            notes.append(
                f"{absent:,} of {len(table):,} rows of metadata.csv name files that are not there and are left out; "
                f"{frontal_absent:,} of them would be frontal X-rays"
            )
        read = _understood(table, frontal)
        for column in read:
            notes += columns.not_understood(column)
        return Source(frame, labels, tuple(notes), whole, tuple(read))

    def _cohort(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        frame = pd.DataFrame(
            {
                "image_id": table["filename"],
                "patient_id": identifiers(table["patientid"]),
                "sex": columns.sexes(table["sex"]),
                "age": columns.years(table["age"]),
                "view": columns.views(table["view"]),
            }
        )
        # Offsets count from the onset of symptoms or from admission; only differences within a patient mean something.
        frame["days"] = days.since_first(days.offsets(table["offset"])[0], frame["patient_id"])
        findings = table["finding"].fillna("todo").map(_findings)
        labels = tuple(sorted(set().union(*findings) - set(_NOT_A_FINDING)))
        unknown = findings.map(lambda found: not found.isdisjoint(("todo", "Unknown")))
        for label in labels:
            present = findings.map(lambda found, label=label: float(label in found))
            frame[label] = present.where(~unknown, np.nan)
        frame["split"] = self.assign(frame["patient_id"])
        return frame, labels


def _understood(table: pd.DataFrame, frontal: pd.Series) -> list[Understood]:
    """What was read of the frontal X-rays' columns, and of the views of all X-rays."""
    taken, xrays = table[frontal], table[table["modality"] == "X-ray"]
    return [
        columns.understood("sex", taken["sex"], columns.sexes(taken["sex"])),
        columns.understood("age", taken["age"], columns.years(taken["age"])),
        columns.understood("view", xrays["view"], columns.views(xrays["view"])),
        days.offsets(taken["offset"])[1],
    ]


def _findings(text: str) -> set[str]:
    return {part.strip() for part in _BETWEEN_FINDINGS.split(text)}
