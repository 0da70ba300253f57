"""CheXpert (Irvin et al., AAAI 2019) as published: ``train.csv``, ``valid.csv`` and the folders they name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reidbench.cohorts.base import Source, Understood
from reidbench.cohorts.sources.file_dataset import HashSplit
from reidbench.cohorts.sources.tables import columns
from reidbench.cohorts.sources.tables.csv_table import read_csv
from reidbench.cohorts.sources.tables.days import since_first
from reidbench.cohorts.sources.tables.missing import missing
from reidbench.errors import ReidbenchError

#: The labeller's findings; where it means the same, with the names of ChestX-ray14 (so that classifiers compare).
FINDINGS = {
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
DEVICES = "Support Devices"
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", DEVICES, *FINDINGS)
# The parts of the full download: one has the tables and valid/, three have the patients of train/.
_PARTS = "CheXpert-v1.0 batch *"
# <folder of the download>/train/patient00001/study1/view1_frontal.jpg
_PATH = r"^(?:.*/)?((?:train|valid|test)/(patient\d+)/study(\d+)/[^/]+)$"


class CheXpert(HashSplit):
    """CheXpert: frontal X-rays of Stanford, the full download in its parts, or the small one.

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
        parts = sorted(part for part in root.glob(_PARTS) if part.is_dir())
        found = ([folder / name for folder in (root, *parts)] for name in ("train.csv", "valid.csv"))
        tables = [path for paths in found if (path := next(filter(Path.is_file, paths), None)) is not None]
        if not tables:
            raise ReidbenchError(
                f"{self.name}: {root} holds neither train.csv nor valid.csv, nor a part of the download that does "
                "('CheXpert-v1.0 batch 1 (validate & csv)')"
            )
        table = pd.concat([read_csv(path, _COLUMNS, where=self.name) for path in tables], ignore_index=True)
        kind = columns.folded_words(table["Frontal/Lateral"])
        frontal = kind == "frontal"
        whole = self._cohort(table[frontal].reset_index(drop=True))
        paths = _paths(root, parts, whole["image_id"])
        frame = (
            whole.assign(path=pd.Series(paths, index=whole.index, dtype=str))
            .dropna(subset="path")
            .reset_index(drop=True)
        )
        if frame.empty:
            raise ReidbenchError(
                f"{self.name}: {root} holds none of the images that its tables name, in train/, valid/ or "
                "'CheXpert-v1.0 batch 2 (train 1)'/ to batch 4"
            )
        lateral, strange = int((kind == "lateral").sum()), int((~kind.isin(("frontal", "lateral"))).sum())
        notes = [f"{lateral:,} lateral images are left out"] if lateral else []
        if strange:
            notes.append(f"{strange:,} images are said to be neither frontal nor lateral and are left out")
        if len(frame) < len(whole):
            notes.append(f"a part of CheXpert: {len(frame):,} of {len(whole):,} frontal images are there")
        read = self._understood(table[frontal])
        for column in read:
            notes += columns.not_understood(column)
        return Source(frame, tuple(FINDINGS.values()), tuple(notes), whole, tuple(read))

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
                "foreign_material": self._finding(table[DEVICES]),
            }
        )
        frame["years"] = since_first(frame["age"], frame["patient_id"])
        for title, label in FINDINGS.items():
            frame[label] = self._finding(table[title])
        return frame

    def _understood(self, table: pd.DataFrame) -> list[Understood]:
        words = (("sex", "Sex", columns.sexes), ("age", "Age", columns.years), ("view", "AP/PA", columns.views))
        found = [columns.understood(role, table[title], read(table[title])) for role, title, read in words]
        for title in (*FINDINGS, DEVICES):
            found += finding_understood(title, table[title])
        return found

    def _finding(self, text: pd.Series) -> pd.Series:
        """1 where said to be there, 0 where denied or not mentioned, and the uncertain as the option says."""
        return finding(text, self.uncertain)


def finding(text: pd.Series, uncertain: str) -> pd.Series:
    """A finding as the CheXpert labeller writes it: 1, 0, -1 (uncertain), or empty where it is not mentioned.

    Args:
        text: (N,).
        uncertain: what -1 counts as: zeros, ones, unknown.
    """
    return columns.findings(text, uncertain).where(~missing(text), 0.0)


def finding_understood(title: str, text: pd.Series) -> list[Understood]:
    """What was read of a finding where a value was not understood, and counts as unknown; nothing where all were."""
    strange = columns.findings_not_understood(text)
    return [columns.understood(title, text, (~strange).where(~strange & ~missing(text)))] if strange.any() else []


def _paths(root: Path, parts: list[Path], images: pd.Series) -> list[str | None]:
    """Where the images lie: as the tables say, or in the parts of the download, whose folders hold the patients."""
    homes = {
        f"{split}/{patient.name}": patient
        for split in ("train", "valid", "test")
        for patient in _patients(root / split)
    }
    for part in parts:
        for patient in _patients(part):
            homes.setdefault(f"train/{patient.name}", patient)
        for split in ("train", "valid"):
            for patient in _patients(part / split):
                homes.setdefault(f"{split}/{patient.name}", patient)
    found: list[str | None] = []
    for image in images:
        split, patient, rest = image.split("/", 2)
        home = homes.get(f"{split}/{patient}")
        found.append(str(home / rest) if home is not None and (home / rest).is_file() else None)
    return found


def _patients(folder: Path) -> list[Path]:
    return sorted(folder.glob("patient*")) if folder.is_dir() else []
