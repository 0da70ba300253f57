"""Datasets whose images are files: reading, fingerprints, and finding files without asking for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from reidbench.cohorts.base import Dataset
from reidbench.cohorts.notes import Note
from reidbench.cohorts.pixels import decode
from reidbench.cohorts.splits import by_patient
from reidbench.errors import ReidbenchError, UnreadableImage

# Folders beside hidden ones that systems and storage devices make: previews, deleted files, snapshots.
_SYSTEM_FOLDERS = frozenset(
    (
        *("__macosx", "lost+found", "system volume information", "$recycle.bin", "recycler", "recycled", "trash"),
        *("@eadir", "@recycle", "@__thumb", "@tmp", "@sharebin", "@snapshot", "@recently-snapshot", "#recycle"),
        *("#snapshot", "thumbnails", "__pycache__", "found.000"),
    )
)


class FileDataset(Dataset):
    """A folder of image files. A subclass gives the table, with ``path`` (str, absolute); the rest is here.

    Attributes:
        every_file: whether every image file in the folder is one of the dataset's, not only those that a table names.
    """

    every_file: ClassVar[bool] = False

    root: Path = Field(description="the dataset's folder")
    copies: Literal["leave_out", "leave_out_similar", "keep"] = Field(
        "leave_out",
        description="which two images of a patient make no pair: those with the same pixels (leave_out), also those "
        "with nearly the same, as of one picture saved twice (leave_out_similar), none (keep)",
    )

    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Decodes the files of the rows: (len(rows), size, size) uint8.

        Raises:
            UnreadableImage: a file cannot be decoded, or all pixels are equal: such a picture shows nothing, and would
                be like any other that shows nothing.
        """
        pixels = []
        for path, image_id in zip(rows["path"], rows["image_id"]):
            image = decode.decode(Path(path), image_id, size)
            if image.min() == image.max():
                raise UnreadableImage(image_id, f"all its pixels have one value, {image[0, 0]}")
            pixels.append(image)
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
            except OSError as error:  # Decoding tells why: it is gone, or a link that leads to itself.
                told = "gone" if isinstance(error, FileNotFoundError) else error.errno
                digest.update(f"{path}\t{told}\n".encode())
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


def walk_files(root: Path, *, follow: bool, left_out: list[str], skipped: list[str] | None = None) -> Iterator[Path]:
    """All files below a folder, also behind links; links out of it are named in ``left_out`` unless followed.

    Hidden folders and those of a system, which hold previews or deleted files, are not entered. A link to a folder
    below the root is not either where that folder is read under its own name. ``skipped`` gets the names of the first.
    """
    real, seen = os.path.realpath(root), set()
    named = [] if skipped is None else skipped
    for folder, below, names in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            below.clear()  # A link to a folder that was read already, or to one above.
            continue
        seen.add(here)
        inside = []
        for name in sorted(below):
            path = Path(folder, name)
            target = os.path.realpath(path) if path.is_symlink() else ""
            if _of_a_system(name):
                named.append(path.relative_to(root).as_posix())
            elif target and _is_read_anyway(target, real):
                continue
            elif follow or not target or is_below(target, real):
                inside.append(name)
            else:
                left_out.append(path.relative_to(root).as_posix())
        below[:] = inside
        for name in names:
            path = Path(folder, name)
            # A link that leads nowhere is an image that is gone, and is named as one.
            if not path.is_file() and (path.exists() or not path.is_symlink()):
                continue
            if follow or not path.is_symlink() or is_below(os.path.realpath(path), real):
                yield path
            else:
                left_out.append(path.relative_to(root).as_posix())


def _of_a_system(name: str) -> bool:
    """Whether a folder is hidden, or one that a system or a storage device makes beside the user's."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def _is_read_anyway(target: str, root: str) -> bool:
    """Whether a folder lies below the root, and no folder on the way to it is left out."""
    return is_below(target, root) and not any(map(_of_a_system, Path(os.path.relpath(target, root)).parts))


def in_unicode(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names that are Unicode text, and those that are not: no table, record or page could hold them."""
    text: list[str] = []
    strange: list[str] = []
    for name in names:
        (strange if any("\ud800" <= letter <= "\udfff" for letter in name) else text).append(name)
    return text, strange


def not_entered(skipped: list[str]) -> list[Note]:
    """What is said of folders that were not entered; nothing where all were."""
    told = f"{len(skipped):,} hidden folders or folders of a system are left out"
    return [Note(told, ", ".join(skipped[:3]))] if skipped else []


def not_unicode(strange: list[str]) -> Note:
    """What is said of files whose names are not Unicode text."""
    told = f"{len(strange):,} files have names that are not UTF-8 and are left out"
    return Note(told, ", ".join(ascii(name) for name in strange[:3]))


def is_below(path: str, root: str) -> bool:
    """Whether an absolute path without links lies in a folder."""
    return os.path.commonpath([path, root]) == root
