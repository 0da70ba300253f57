"""Datasets whose images are files: reading, fingerprints, and finding files without asking for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from reidbench.cohorts.base import Dataset
from reidbench.cohorts.pixels import decode
from reidbench.cohorts.splits import by_patient
from reidbench.errors import ReidbenchError


class FileDataset(Dataset):
    """A folder of image files. A subclass gives the table, with ``path`` (str, absolute); the rest is here."""

    root: Path = Field(description="the dataset's folder")

    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Decodes the files of the rows: (len(rows), size, size) uint8."""
        pixels = [decode.decode(Path(path), image_id, size) for path, image_id in zip(rows["path"], rows["image_id"])]
        return np.stack(pixels)

    def pixel_options(self) -> dict[str, Any]:
        """Only the folder: other options choose rows, and the store knows its rows."""
        return {"root": str(self.root.resolve())}

    def fingerprint(self, frame: pd.DataFrame) -> str:
        """A hash over path, size and time of change of every file, and the version of the decoding."""
        digest = hashlib.sha256(f"decode {decode.VERSION}\n".encode())
        for path in frame["path"]:
            try:
                status = os.stat(path)  # noqa: PTH116 - a hundred thousand Path objects would take as long as the stats
                digest.update(f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
            except FileNotFoundError:
                digest.update(f"{path}\tgone\n".encode())
        return digest.hexdigest()

    def require_root(self) -> Path:
        """The folder, absolute.

        Raises:
            ReidbenchError: it is not there.
        """
        root = self.root.expanduser()
        if not root.is_dir():
            raise ReidbenchError(f"--root {self.root}: no such folder")
        return root.resolve()


class HashSplit(FileDataset):
    """A folder of image files without an official split: every patient's split follows from a hash of the patient."""

    val_share: float = Field(0.1, ge=0, lt=1, description="share of the patients to validate on")
    test_share: float = Field(0.2, ge=0, lt=1, description="share of the patients to test on")

    def assign(self, patients: pd.Series) -> pd.Series:
        """The split of every row, by its patient.

        Raises:
            ReidbenchError: the shares leave no patient to train on.
        """
        train = 1 - self.val_share - self.test_share
        if train <= 0:
            raise ReidbenchError(f"{self.name}: val_share and test_share leave no patient to train on")
        shares = {"train": train, "val": self.val_share, "test": self.test_share}
        return by_patient(patients, shares, salt=self.name)


def index_files(folders: Iterable[Path]) -> dict[str, str]:
    """Names of the files in some folders (not below) and their paths; of two of one name, that in the first folder.

    One scan a folder: asking the file system for each of 112,120 names takes minutes on a network disk.
    """
    found: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file():
                        found.setdefault(entry.name, entry.path)
    return found


def csv_columns(path: Path, *, where: str) -> list[str]:
    """The column names of a CSV.

    Raises:
        ReidbenchError: the file is missing or no CSV; ``where`` names the dataset.
    """
    return list(_read(path, where, nrows=0).columns)


def read_csv(path: Path, columns: Iterable[str], *, where: str) -> pd.DataFrame:
    """The named columns of a CSV (plain or .gz) as text; empty fields are NaN.

    Args:
        path: the file.
        columns: what it must have; other columns are not read.
        where: the dataset, for the error.

    Raises:
        ReidbenchError: the file is missing, is no CSV, or a column is missing.
    """
    wanted = list(columns)
    there = csv_columns(path, where=where)
    for column in wanted:
        if column not in there:
            raise ReidbenchError(f"{where}: {path} has no column {column!r} (it has {', '.join(there[:12])})")
    return _read(path, where, usecols=wanted, dtype=str, keep_default_na=False, na_values=[""])


def _read(path: Path, where: str, **options: Any) -> pd.DataFrame:
    try:
        # index_col: a comma too many at the ends of the lines must not make the first column an index.
        # utf-8-sig: spreadsheets put a mark in front.
        table: pd.DataFrame = pd.read_csv(path, index_col=False, encoding="utf-8-sig", **options)
    except FileNotFoundError as error:
        raise ReidbenchError(f"{where}: {path} is missing") from error
    except (ValueError, EOFError, OSError) as error:
        raise ReidbenchError(f"{where}: {path} is not a readable CSV: {str(error).splitlines()[0]}") from error
    return table
