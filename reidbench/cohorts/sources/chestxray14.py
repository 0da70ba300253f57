"""NIH ChestX-ray14 (Wang et al., CVPR 2017) as published: its CSV, its two lists, its archives' folders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from reidbench.cohorts.base import CHESTXRAY14_LABELS, Source, Understood
from reidbench.cohorts.sources.file_dataset import FileDataset, index_files
from reidbench.cohorts.sources.tables import columns
from reidbench.cohorts.sources.tables.csv_table import read_csv
from reidbench.cohorts.sources.tables.days import since_first
from reidbench.cohorts.splits import require_disjoint
from reidbench.errors import ReidbenchError

# Newest first. The first's column names are those of all its forms but the ones that are not needed here.
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_COLUMNS = {
    "Image Index": "image_id",
    "Finding Labels": "findings",
    "Follow-up #": "follow_up",
    "Patient ID": "patient_id",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "View Position": "view",
}
# Packhäuser et al. (2022) cut the official list for training and validation behind this line.
_TRAIN_LINES = 75_708
_ARCHIVES = 12


class ChestXray14(FileDataset):
    """NIH ChestX-ray14: 112,120 frontal X-rays of 30,805 patients; any part of the download will do.

    Images may lie in ``images/``, in ``images_001/images`` to ``images_012/images``, or in the root itself. Splits are
    the official lists; the list for training is cut at line 75,708 as in Packhäuser et al. (2022).
    """

    name: ClassVar[str] = "chestxray14"

    def source(self) -> Source:
        """Reads the table, the lists, and which files are there."""
        root = self.require_root()
        whole, understood = self._table(root)
        whole["split"] = self._splits(root, whole["image_id"])
        listed = whole["split"].notna()
        notes = []
        if not listed.all():
            notes.append(f"{int((~listed).sum()):,} images are in neither official list and are left out")
        whole = whole[listed].reset_index(drop=True)
        require_disjoint(whole, self.name)

        archives = [root / f"images_{number:03d}" / "images" for number in range(1, _ARCHIVES + 1)]
        found = index_files([root / "images", *archives, root])
        frame = whole.assign(path=whole["image_id"].map(found)).dropna(subset="path").reset_index(drop=True)
        if frame.empty:
            raise ReidbenchError(
                f"{self.name}: {root} holds no image that its table names; they belong in images/, in "
                "images_001/images to images_012/images, or in the folder itself"
            )
        if len(frame) < len(whole):
            notes.append(
                f"a part of ChestX-ray14: {len(frame):,} of {len(whole):,} images are there, of "
                f"{frame['patient_id'].nunique():,} of {whole['patient_id'].nunique():,} patients"
            )
        for column in understood:
            notes += columns.not_understood(column)
        return Source(frame, CHESTXRAY14_LABELS, tuple(notes), whole, tuple(understood))

    def _table(self, root: Path) -> tuple[pd.DataFrame, list[Understood]]:
        candidates = [root / f"{name}{ending}" for name in _TABLES for ending in ("", ".gz")]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise ReidbenchError(f"{self.name}: {root} lacks the official table {_TABLES[0]} (or .csv.gz)")
        table = read_csv(path, _COLUMNS, where=self.name).rename(columns=_COLUMNS)
        # Of 112,120 rows only some eight hundred differ in their findings.
        codes, texts = pd.factorize(table.pop("findings").fillna(""))
        found = [set(text.split("|")) for text in texts]
        unknown = set().union(*found) - {*CHESTXRAY14_LABELS, "No Finding", ""}
        if unknown:
            raise ReidbenchError(f"{self.name}: {path} has the unknown finding {min(unknown)!r}")
        for label in CHESTXRAY14_LABELS:
            table[label] = np.array([float(label in findings) for findings in found])[codes]
        understood = []
        for role, read in (("sex", columns.sexes), ("age", columns.years), ("view", columns.views)):
            words = table[role]
            table[role] = read(words)
            understood.append(columns.understood(role, words, table[role]))
        table["patient_id"] = self._numbers(table["patient_id"], "Patient ID", path).astype(np.int64)
        table["follow_up"] = self._numbers(table["follow_up"], "Follow-up #", path)
        # The table dates nothing; ages in whole years are the nearest to it.
        table["years"] = since_first(table["age"], table["patient_id"])
        return table, understood

    def _numbers(self, column: pd.Series, title: str, path: Path) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.isna().any():
            raise ReidbenchError(f"{self.name}: {path}: {title} {column[numbers.isna()].iloc[0]!r} is not a number")
        return numbers

    def _splits(self, root: Path, images: pd.Series) -> pd.Series:
        lists = {}
        for name in ("train_val_list.txt", "test_list.txt"):
            try:
                lists[name] = (root / name).read_text(encoding="utf-8").split()
            except FileNotFoundError as error:
                raise ReidbenchError(f"{self.name}: {root} lacks the official list {name}") from error
            except (UnicodeDecodeError, OSError) as error:
                raise ReidbenchError(f"{self.name}: {root / name} is not a readable list: {error}") from error
        split_of = dict.fromkeys(lists["test_list.txt"], "test")
        for line, image in enumerate(lists["train_val_list.txt"]):
            if image in split_of:
                raise ReidbenchError(f"{self.name}: image {image!r} is in {split_of[image]} and in train_val_list.txt")
            split_of[image] = "train" if line < _TRAIN_LINES else "val"
        return images.map(split_of)
