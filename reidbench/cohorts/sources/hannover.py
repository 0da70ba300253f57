"""The COVID-19 Image Repository of Hannover Medical School (Winther et al., 2020): ``data.csv`` and ``png/``."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from reidbench.cohorts.base import Source
from reidbench.cohorts.sources.file_dataset import index_files
from reidbench.cohorts.sources.tables import columns, days
from reidbench.cohorts.sources.tables.csv_table import read_csv
from reidbench.cohorts.sources.tables.missing import identifiers
from reidbench.cohorts.sources.tables.worded import WordedDataset
from reidbench.errors import ReidbenchError

_COLUMNS = {
    "image_id": "image_id",
    "patient_id": "patient_id",
    "sex": "sex",
    "age": "age",
    "projection": "view",
    "admission_offset": "days",
}


class Hannover(WordedDataset):
    """COVID-19 Image Repository of Hannover Medical School: 243 X-rays of 71 patients, most of them with several.

    It has no official split. Patients are assigned by hash; the test part is large, since there are few.
    """

    name: ClassVar[str] = "hannover"

    test_share: float = Field(0.4, ge=0, lt=1, description="share of the patients to test on")

    def source(self) -> Source:
        """Reads the table, and which files are there."""
        root = self.require_root()
        frame = read_csv(root / "data.csv", _COLUMNS, where=self.name).rename(columns=_COLUMNS)
        frame["patient_id"] = identifiers(frame["patient_id"])
        alone = frame["patient_id"].isna()
        if alone.any():
            raise ReidbenchError(f"{self.name}: image {frame.loc[alone, 'image_id'].iloc[0]!r} has no patient")
        # The repository writes m and w, männlich and weiblich.
        frame["sex"] = columns.mapped(frame["sex"], {"w": "F"})
        # Offsets count back from the image to the admission: a later image has the smaller number.
        offset, read = days.offsets(frame["days"])
        frame["days"] = days.since_first(-offset, frame["patient_id"])
        frame["split"] = self.assign(frame["patient_id"])
        found = index_files([root / "png", root])
        frame["path"] = (frame["image_id"] + ".png").map(found)
        return self.finished(frame, (), [], "images that data.csv names", root, [read])
