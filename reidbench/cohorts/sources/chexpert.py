"""CheXpert (Irvin et al., AAAI 2019) as published: ``train.csv``, ``valid.csv`` and the folders they name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import Source
from reidbench.cohorts.sources import columns
from reidbench.cohorts.sources.file_dataset import HashSplit, read_csv
from reidbench.errors import ReidbenchError

# Where it means the same, a finding has the name that ChestX-ray14 gives it, so that classifiers can be compared.
_FINDINGS = {
    "Enlarged Cardiomediastinum": "Enlarged Cardiomediastinum",
    "Cardiomegaly": "Cardiomegaly",
    "Lung Opacity": "Lung Opacity",
    "Lung Lesion": "Lung Lesion",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
    "Pleural Other": "Pleural Other",
    "Fracture": "Fracture",
}
_DEVICES = "Support Devices"
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", _DEVICES, *_FINDINGS)
# <folder of the download>/train/patient00001/study1/view1_frontal.jpg
_PATH = r"^(?:.*/)?((?:train|valid|test)/(patient\d+)/study(\d+)/[^/]+)$"


class CheXpert(HashSplit):
    """CheXpert: frontal X-rays of Stanford, the full or the small download.

    Its own valid part has hardly a patient with two images, so it cannot test linking: all patients are assigned to
    splits by hash. ``Support Devices`` becomes ``foreign_material``.
    """

    name: ClassVar[str] = "chexpert"

    uncertain: Literal["zeros", "ones", "unknown"] = Field(
        "zeros", description="what a finding labelled uncertain (-1) counts as"
    )

    def source(self) -> Source:
        """Reads both tables, and which files are there."""
        root = self.require_root()
        tables = [root / name for name in ("train.csv", "valid.csv") if (root / name).is_file()]
        if not tables:
            raise ReidbenchError(f"{self.name}: {root} holds neither train.csv nor valid.csv")
        table = pd.concat([read_csv(path, _COLUMNS, where=self.name) for path in tables], ignore_index=True)
        frontal = table["Frontal/Lateral"] == "Frontal"
        whole = self._cohort(table[frontal].reset_index(drop=True))
        paths = pd.Series([str(root / image) for image in whole["image_id"]], dtype=str)
        frame = whole.assign(path=paths)[[Path(path).is_file() for path in paths]].reset_index(drop=True)
        if frame.empty:
            raise ReidbenchError(
                f"{self.name}: {root} holds none of the images that its tables name, in train/ or valid/"
            )
        notes = [f"{int((~frontal).sum()):,} lateral images are left out"] if not frontal.all() else []
        if len(frame) < len(whole):
            notes.append(f"a part of CheXpert: {len(frame):,} of {len(whole):,} frontal images are there")
        return Source(frame, tuple(_FINDINGS.values()), tuple(notes), whole)

    def _cohort(self, table: pd.DataFrame) -> pd.DataFrame:
        parts = table["Path"].str.extract(_PATH)
        if parts[0].isna().any():
            strange = table.loc[parts[0].isna(), "Path"].iloc[0]
            raise ReidbenchError(f"{self.name}: the path {strange!r} is not …/train/patientNNNNN/studyN/<file>")
        frame = pd.DataFrame(
            {
                "image_id": parts[0],
                "patient_id": parts[1],
                "split": self.assign(parts[1]),
                "follow_up": parts[2].astype(np.float64) - 1,
                "sex": columns.sexes(table["Sex"]),
                "age": columns.years(table["Age"]),
                "view": columns.views(table["AP/PA"]),
                "foreign_material": self._finding(table[_DEVICES]),
            }
        )
        frame["years"] = columns.since_first(frame["age"], frame["patient_id"])
        for title, label in _FINDINGS.items():
            frame[label] = self._finding(table[title])
        return frame

    def _finding(self, text: pd.Series) -> pd.Series:
        """1 where said to be there, 0 where denied or not mentioned, and the uncertain as the option says."""
        values = pd.to_numeric(text, errors="coerce").fillna(0.0)
        return values.replace(-1.0, {"zeros": 0.0, "ones": 1.0, "unknown": np.nan}[self.uncertain])
