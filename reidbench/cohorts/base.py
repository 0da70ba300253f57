"""What a dataset must give, and the cohort that the rest of the house works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")

# The fourteen findings of ChestX-ray14, in the order of Wang et al. (2017); a cohort may hold some or others.
CHESTXRAY14_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)


@dataclass(frozen=True)
class Understood:
    """What was read of a column whose values are words.

    Attributes:
        column: sex, age or view.
        known: how many rows have a value.
        unknown: how many say nothing, or that it is not known.
        strange: values that were not understood, and of how many rows; they count as unknown.
        others: what was understood and is none of the cohort's values (``lateral``), and of how many rows.
    """

    column: str
    known: int
    unknown: int
    strange: dict[str, int]
    others: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset's table before any pixel is read.

    Attributes:
        frame: one row per image. Always ``image_id`` (str, unique), ``patient_id`` (any hashable), ``split`` (one of
            ``SPLITS``); where known ``sex`` (M or F), ``age`` (years), ``view`` (PA or AP), ``follow_up`` (index),
            ``study`` (number of the examination), ``days`` or ``years`` since the patient's first image,
            ``foreign_material`` (0 or 1), and the findings as 0/1 columns named in ``labels``. File datasets add
            ``path`` (str, absolute). Unknown values are NaN.
        labels: the columns of ``frame`` that are findings.
        notes: what a person must know of it (left out, moved between splits), a line each. Records keep them: they must
            contain counts, not the names of files or patients.
        whole: the same table for everything the metadata names, where files of some of it are not there; None where
            nothing is missing. Only counts are made from it.
        understood: of columns whose values are words, what was read and what was not.
    """

    frame: pd.DataFrame
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    whole: pd.DataFrame | None = None
    understood: tuple[Understood, ...] = ()


class Dataset(BaseModel, ABC):
    """Where images come from. Subclasses declare their options as typed fields; ``--root`` sets ``root``, if any.

    A subclass gives the table (:meth:`source`) and, for any of its rows, the pixels (:meth:`read`). The store calls
    ``read`` from worker processes, ``chunk`` rows at a time, so an instance must pickle. Image files are easiest served
    from :class:`reidbench.cohorts.sources.file_dataset.FileDataset`, which needs a table with paths and nothing more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    #: Rows a call of :meth:`read` takes: 1 for files, more where a batch is cheaper, as for generated images.
    chunk: ClassVar[int] = 1
    #: Whether :meth:`read` may run in several processes at once.
    parallel: ClassVar[bool] = True
    #: Whether the images are generated and show no real patient: only such images are put into reports.
    generated: ClassVar[bool] = False

    @abstractmethod
    def source(self) -> Source:
        """Reads the table, no pixel.

        Raises:
            ReidbenchError: a folder, a file or a column is missing, or a patient is in two splits.
        """

    @abstractmethod
    def read(self, rows: pd.DataFrame, size: int) -> NDArray[np.uint8]:
        """Pixels of the rows, decoded and resized: (len(rows), size, size) uint8, one channel.

        Raises:
            UnreadableImage: a row's file cannot be decoded.
        """

    def most_images(self) -> int | None:
        """The most images that these options give, if that is known before anything is read; None if it is not."""
        return None

    def pixel_options(self) -> dict[str, Any]:
        """The options that decide pixels, as JSON types: all of them, unless a subclass knows better."""
        return self.model_dump(mode="json")

    def fingerprint(self, frame: pd.DataFrame) -> str:
        """What, beside options and the file that defines ``read``, decides the pixels.

        For files: their sizes and times of change. A generator whose code spans several files gives its version.
        """
        return ""


@dataclass(frozen=True)
class Cohort:
    """Images of patients, ready to work on.

    Attributes:
        name: the dataset's name.
        frame: one row per image, as in :class:`Source`, train before val before test, with a fresh index 0..N-1 and
            ``patient`` (int64): patients remapped to 0..P-1, since identifiers above 2**24 collide as float32. Where
            images of a patient are copies of one picture, ``picture`` (int64) is equal for these and no others.
        pixels: (N, S, S) uint8, memory-mapped; row i belongs to ``frame`` row i.
        labels: the columns of ``frame`` that are findings.
        revision: SHA-256 over the table and the pixels; two runs compare only where it is equal.
        notes: what a person must know of it, a line each.
        generated: whether its patients are generated, as :attr:`Dataset.generated` says: only then may its images be
            kept beside records.
    """

    name: str
    frame: pd.DataFrame
    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    revision: str
    notes: tuple[str, ...] = field(default=())
    generated: bool = False

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def size(self) -> int:
        """Width and height of the images in pixels."""
        return int(self.pixels.shape[-1])

    def rows(self, split: str) -> NDArray[np.int64]:
        """The row numbers of a split, in table order."""
        return np.flatnonzero(self.frame["split"].to_numpy() == split)

    def part(self, split: str) -> Cohort:
        """The images of one split as a cohort of their own (same revision; patients remapped again to 0..P-1)."""
        rows = self.rows(split)
        frame = self.frame.iloc[rows].reset_index(drop=True)
        frame["patient"] = remap(frame["patient_id"])
        # A loaded cohort is ordered by split, so that a part is a view of the mapped file and costs no memory.
        whole_run = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
        pixels = self.pixels[rows[0] : rows[-1] + 1] if whole_run else self.pixels[rows]
        return replace(self, frame=frame, pixels=pixels)


def remap(identifiers: pd.Series) -> NDArray[np.int64]:
    """Any hashable identifiers as 0..P-1, in order of first appearance."""
    import pandas as pd  # Here: what reads records needs the names of this file alone.

    return pd.factorize(identifiers)[0].astype(np.int64)
