"""Images of a patient that are one picture under several names, and pairs that come from one visit.

Linking two copies of a picture is not recognition: any attacker can, and a dataset in which each patient has one
picture under two names would be judged as wholly re-identifiable. Copies are found by their decoded pixels, so that
neither name nor file format hides them. A picture that was saved again with losses (as JPEG, smaller, with other grey
levels) is found by its correlation with the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.notes import Note

#: Correlation of two images, shrunk to at most 64 pixels, from which they count as one picture. Of the 70,034 genuine
#: pairs of the ChestX-ray14 sample without equal pixels none reaches 0.987 at 64 pixels, or 0.993 at 16; a JPEG of
#: quality 30 is at 0.997 of its original, one of quality 75 and half the size at 0.995.
SIMILAR = 0.995
_SMALL = 64
# Of the middle lines alone: of a mapped file hardly any other page is read. Of 70,036 pairs 40 are looked at whole.
_ALIKE_LINES = 0.98
_AT_ONCE = 1024
_KEPT = 512
_NAMED = 3


@dataclass(frozen=True)
class Copies:
    """Which images of a patient are one picture.

    Attributes:
        pictures: (N,) a number for every image, equal for equal pixels of one patient.
        similar: (N,) the same, equal for nearly equal pixels too.
    """

    pictures: NDArray[np.int64]
    similar: NDArray[np.int64]

    @property
    def pairs(self) -> int:
        """Genuine pairs of equal pixels."""
        return copied_pairs(self.pictures)

    @property
    def similar_pairs(self) -> int:
        """Genuine pairs of nearly equal pixels, without the equal ones."""
        return copied_pairs(self.similar) - self.pairs


def find_copies(cohort: Cohort) -> Copies:
    """Looks for copies among the images of each patient. Generated images are compared for equality alone."""
    patients = cohort.frame["patient"].to_numpy(dtype=np.int64)
    pictures = picture_numbers(patients, cohort.pixels)
    return Copies(pictures, pictures if cohort.generated else similar_numbers(patients, cohort.pixels, pictures))


def picture_numbers(patients: NDArray[np.int64], pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for every image, equal where images of one patient have equal pixels: (N,) int64, 0..M-1.

    Args:
        patients: (N,) each image's patient.
        pixels: (N, S, S) uint8.
    """
    # One line of each image first: of a mapped file only these pages are read, and hardly any image shares it.
    middle = pixels.shape[1] // 2
    lines = pd.factorize(np.array([line.tobytes() for line in pixels[:, middle]], dtype=object))[0]
    keys = pd.DataFrame({"patient": patients, "line": lines})
    digests = np.full(len(keys), b"", dtype=object)
    for row in np.flatnonzero(keys.duplicated(keep=False)):
        digests[row] = hashlib.blake2b(pixels[row].tobytes(), digest_size=16).digest()
    keys["rest"] = pd.factorize(digests)[0]
    return np.asarray(keys.groupby(list(keys.columns), sort=False).ngroup(), dtype=np.int64)


def similar_numbers(
    patients: NDArray[np.int64], pixels: NDArray[np.uint8], pictures: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The numbers of pictures, with one number for those of a patient whose correlation is at least ``SIMILAR``.

    An inverted picture counts as the same. Similar pictures are joined in chains.

    Args:
        patients: (N,) each image's patient.
        pixels: (N, S, S) uint8.
        pictures: (N,) as :func:`picture_numbers` gives them.

    Returns:
        (N,) int64.
    """
    joined = np.arange(pictures.max() + 1 if len(pictures) else 0)
    shrunk: dict[int, NDArray[np.float32]] = {}
    firsts = pd.Series(np.arange(len(pictures))).groupby(pictures).first().to_numpy()
    for one, other in _alike_lines(patients[firsts], pixels, firsts):
        if len(shrunk) > _KEPT:
            shrunk.clear()  # Pairs come patient by patient, and memory must not grow with them.
        for row in (one, other):
            if row not in shrunk:
                shrunk[row] = _standard(_shrunk(pixels[row][None]).reshape(1, -1))[0]
        if abs(float(shrunk[one] @ shrunk[other])) >= SIMILAR:
            low, high = sorted((joined[pictures[one]], joined[pictures[other]]))
            joined[joined == high] = low
    return np.asarray(joined[pictures], dtype=np.int64)


def _alike_lines(
    patients: NDArray[np.int64], pixels: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Pairs of rows of one patient whose middle lines are much alike."""
    lines = _standard(_shrunk(np.stack([pixels[row, pixels.shape[1] // 2] for row in rows])[:, None])[:, 0])
    # Lines without any contrast say nothing: such images are looked at whole.
    lines[~lines.any(axis=1), 0] = 1
    for places in pd.Series(np.arange(len(rows))).groupby(patients).indices.values():
        for start in range(0, len(places) if len(places) > 1 else 0, _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            for a, b in zip(*np.nonzero(np.abs(lines[some] @ lines[places].T) >= _ALIKE_LINES)):
                if some[a] < places[b]:
                    yield int(rows[some[a]]), int(rows[places[b]])


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images (N, H, W) as means over blocks, at most 64 a side."""
    shrunk = images.astype(np.float32)
    for axis in (1, 2):
        side = shrunk.shape[axis]
        starts = np.linspace(0, side, min(side, _SMALL), endpoint=False).astype(int)
        widths = np.diff(np.append(starts, side)).reshape([-1 if at == axis else 1 for at in range(3)])
        shrunk = (np.add.reduceat(shrunk, starts, axis=axis) / widths).astype(np.float32)
    return shrunk


def _standard(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, K) with mean 0 and length 1; 0 for a constant one, which is like no other."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.where(length > 1e-3, centred / np.maximum(length, 1e-3), 0).astype(np.float32)


def copied_pairs(pictures: NDArray[np.int64]) -> int:
    """How many genuine pairs are the same picture."""
    sizes = np.bincount(pictures)
    return int((sizes * (sizes - 1) // 2).sum())


def mark_copies(cohort: Cohort, dataset: Dataset, copies: Copies | None = None) -> Cohort:
    """The cohort with a column ``picture`` where images have copies, and notes that count them.

    The option ``copies`` of a dataset decides whether copies are left out, also nearly equal ones
    (``leave_out_similar``), or make pairs as other images do (``keep``).

    Args:
        copies: of the cohort, where they were looked for already.
    """
    copies = find_copies(cohort) if copies is None else copies
    option = getattr(dataset, "copies", "leave_out")
    names, notes = cohort.frame["image_id"], list(cohort.notes)
    if copies.pairs:
        done = "count as others (copies=keep)" if option == "keep" else "are left out of pairs and rankings"
        told = f"{copies.pairs:,} genuine pairs are the same picture under two names and {done}"
        notes.append(Note(told, _named(names, copies.pictures)))
    if copies.similar_pairs:
        out = option == "leave_out_similar"
        done = "are left out of pairs and rankings" if out else "count as others (copies=leave_out_similar: not)"
        told = f"{copies.similar_pairs:,} genuine pairs are nearly the same picture (correlation at least {SIMILAR})"
        unequal = np.where(np.isin(copies.similar, _joined(copies)), copies.similar, -1)
        notes.append(Note(f"{told} and {done}", _named(names, unequal)))
    field = type(dataset).model_fields.get("copies")
    pictures, usual = (_marks(copies, one) for one in (option, field.default if field else option))
    frame = cohort.frame.assign(picture=pictures) if len(pictures) else cohort.frame
    revision = cohort.revision
    if not np.array_equal(pictures, usual):
        # Other pairs are judged than those of the dataset as it is read usually, and nothing else tells.
        revision = hashlib.sha256(f"{revision} copies={option}".encode()).hexdigest()
    return replace(cohort, frame=frame, notes=tuple(notes), revision=revision)


def _marks(copies: Copies, option: str) -> NDArray[np.int64]:
    """The number of each image's picture by this option (N,); empty where none is left out."""
    pictures = copies.similar if option == "leave_out_similar" else copies.pictures
    return pictures if option != "keep" and copied_pairs(pictures) > 0 else pictures[:0]


def _joined(copies: Copies) -> NDArray[np.int64]:
    """Numbers of similar pictures that several pictures have."""
    several = pd.DataFrame({"similar": copies.similar, "picture": copies.pictures}).drop_duplicates()["similar"]
    return np.asarray(several[several.duplicated()].unique(), dtype=np.int64)


def _named(names: pd.Series, pictures: NDArray[np.int64]) -> str:
    """Some groups of images with one number; -1 is none."""
    groups = names[pictures >= 0].groupby(pictures[pictures >= 0]).agg(list)
    groups = groups[groups.map(len) > 1]
    named = "; ".join(" and ".join(group[:_NAMED]) for group in groups.iloc[:_NAMED])
    return f"{named}; and {len(groups) - _NAMED:,} more" if len(groups) > _NAMED else named


def same_visit_pairs(frame: pd.DataFrame) -> int | None:
    """How many genuine pairs are of one visit; None where the table says nothing of visits.

    An image's visit is its ``follow_up``, else its ``study``, else its ``days``. Such pairs share the day's posture,
    clothes and devices, and are easier to link than pairs of two visits.
    """
    columns = [name for name in ("follow_up", "study", "days") if name in frame and frame[name].notna().any()]
    if not columns:
        return None
    visit = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    for name in columns:
        visit = visit.where(visit.notna(), frame[name].map(lambda value, name=name: (name, value), na_action="ignore"))
    sizes = frame[visit.notna()].groupby(["patient_id", visit[visit.notna()]]).size().to_numpy(dtype=np.int64)
    return int((sizes * (sizes - 1) // 2).sum())
