"""Fixed lists of pairs, as the authors of Packhäuser et al. (2022) published theirs: two names and a label a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.notes import Note
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.errors import ReidbenchError

_LABELS = {"1": True, "0": False, "1.0": True, "0.0": False}
# Its file name stays out of records, where notes are kept.
_LIST = "the list of pairs"


def read_pair_list(path: Path, frame: pd.DataFrame) -> Pairs:
    """Reads pairs of images of a table from a file: name, tab, name, tab, 1 (same patient) or 0, one pair per line.

    The pairs keep the order of the file. Those with a name that the table lacks, and those whose label contradicts the
    table's patients, are left out and counted in a note, as are genuine pairs that are one picture under two names.

    Args:
        path: the file.
        frame: the table, with ``image_id`` and ``patient``.

    Raises:
        ReidbenchError: the file is missing, a line is not a pair or has one image twice, or no genuine or no impostor
            pair is left.
    """
    a_names, b_names, same = _read(path)
    rows = pd.Index(frame["image_id"])
    a, b = rows.get_indexer(a_names), rows.get_indexer(b_names)
    known = (a >= 0) & (b >= 0)
    notes: list[str] = []
    if not known.all():
        missing = pd.unique(np.concatenate([a_names[a < 0], b_names[b < 0]]))
        told = (
            f"{_LIST}: {int((~known).sum()):,} of {len(same):,} pairs name images that are not there "
            f"({len(missing):,} names) and are left out"
        )
        notes.append(Note(told, f"the first is {missing[0]!r}"))
    if not known.any():
        raise ReidbenchError(f"{path}: none of its {len(same):,} pairs is of two images of this split")
    a, b, same = a[known].astype(np.int64), b[known].astype(np.int64), same[known]
    patients = frame["patient"].to_numpy()
    right = same == (patients[a] == patients[b])
    if not right.all():
        notes.append(f"{_LIST}: {int((~right).sum()):,} labels contradict the table's patients; left out")
        a, b, same = a[right], b[right], same[right]
    pictures = pictures_of(frame)
    if pictures is not None and (copies := same & (pictures[a] == pictures[b])).any():
        notes.append(f"{_LIST}: {int(copies.sum()):,} genuine pairs are the same picture under two names; left out")
        a, b, same = a[~copies], b[~copies], same[~copies]
    first = ~pd.DataFrame({"a": a, "b": b}).duplicated().to_numpy()
    if not first.all():
        notes.append(f"{_LIST}: {int((~first).sum()):,} lines repeat a pair and count once")
        a, b, same = a[first], b[first], same[first]
    if not same.any():
        raise ReidbenchError(f"{path}: no genuine pair (label 1) is left of its {int(known.sum()):,} pairs")
    if same.all():
        raise ReidbenchError(f"{path}: no impostor pair (label 0) is left of its {int(known.sum()):,} pairs")
    return Pairs(a, b, same, tuple(notes))


def _read(path: Path) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.bool_]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ReidbenchError(f"{path}: no such pair list") from error
    except (UnicodeDecodeError, OSError) as error:
        raise ReidbenchError(f"{path}: not a readable pair list: {error}") from error
    if not lines:
        raise ReidbenchError(f"{path}: the pair list is empty")
    fields = [line.split("\t") for line in lines]
    for number, parts in enumerate(fields, start=1):
        if len(parts) != 3 or parts[2].strip() not in _LABELS:
            raise ReidbenchError(f"{path}, line {number}: want two image names and 1 or 0, separated by tabs")
        if parts[0].strip() == parts[1].strip():
            raise ReidbenchError(f"{path}, line {number}: {parts[0]!r} is paired with itself; a pair is of two images")
    a, b, labels = zip(*fields)
    same = [_LABELS[label.strip()] for label in labels]
    return np.array(a, dtype=object), np.array(b, dtype=object), np.array(same, dtype=bool)
