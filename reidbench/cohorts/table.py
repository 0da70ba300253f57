"""What every table of images must satisfy before it is worked on, and the digest that names it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from reidbench.cohorts.base import SPLITS
from reidbench.cohorts.notes import Note
from reidbench.cohorts.splits import require_disjoint
from reidbench.errors import ReidbenchError

REQUIRED = ("image_id", "patient_id", "split")
_VALUES = {"sex": ("M", "F"), "view": ("PA", "AP")}
_NUMBERS = ("age", "follow_up", "days", "years")

_NAMED = 3
_POINT_ZERO, _ZEROS = re.compile(r"\.0+$"), re.compile(r"(?<!\d)0+(?=\d)")
# Marks between words and numbers, which people write or leave away; between two numbers they count.
_MARKS, _BETWEEN = re.compile(r"[\s_./-]+"), re.compile(r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])")
# Cyrillic and Greek capitals that look like Latin ones.
_LOOK_LIKE_LATIN = str.maketrans("АВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEKMHOPCTYXIJSABEZHIKMNOPTYX")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
# Of fewer images most may well be of one patient.
_MANY = 6

# Where a file lies on this machine is not a property of the cohort; `patient` is made from `patient_id`.
# Studies only tell which pairs are of one visit.
_LEFT_OUT_OF_DIGEST = ("path", "patient", "study")


# What a table says of an image beside its findings.
_OWN = ("patient", *REQUIRED, *_VALUES, *_NUMBERS, "foreign_material", "study", "path", "picture")


def require_findings(labels: Sequence[str], name: str) -> None:
    """Refuses findings whose columns would take the place of others.

    Args:
        labels: finding columns.
        name: what to call the table in an error.

    Raises:
        ReidbenchError: a finding is named twice, or as a column of another meaning.
    """
    for place, label in enumerate(labels):
        if label in labels[:place]:
            raise ReidbenchError(f"{name}: the finding {label!r} is named twice")
        if label in _OWN:
            raise ReidbenchError(f"{name}: a finding cannot be called {label!r}, as a column of another meaning is")


def checked_table(frame: pd.DataFrame, labels: tuple[str, ...], name: str) -> pd.DataFrame:
    """The table in canonical form: text identifiers, numbers as float64, train before val before test.

    Args:
        frame: a table as in :class:`~reidbench.cohorts.base.Source`.
        labels: its finding columns.
        name: what to call it in an error.

    Raises:
        ReidbenchError: no row, a column is missing, a finding is named as another column, an image has no patient, a
            name comes twice, a value is none of the contract's, or a patient is in two splits.
    """
    require_findings(labels, name)
    for column in (*REQUIRED, *labels):
        if column not in frame.columns:
            raise ReidbenchError(f"{name}: the table has no column {column!r}")
    if frame.empty:
        raise ReidbenchError(f"{name}: there is no image in it")
    frame = frame.copy()
    frame["image_id"] = frame["image_id"].astype(str)
    twice = frame.loc[frame["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ReidbenchError(f"{name}: image {twice.iloc[0]!r} comes more than once; names must be unique")
    alone = frame.loc[frame["patient_id"].isna(), "image_id"]
    if len(alone):
        raise ReidbenchError(f"{name}: image {alone.iloc[0]!r} has no patient")
    _require_values(frame, "split", SPLITS, name, missing_allowed=False)
    for column, values in _VALUES.items():
        if column in frame.columns:
            _require_values(frame, column, values, name)
    for column in (*_NUMBERS, *labels, "foreign_material"):
        if column in frame.columns:
            try:
                frame[column] = frame[column].astype(np.float64)
            except (TypeError, ValueError) as error:
                raise ReidbenchError(f"{name}: column {column!r} must hold numbers: {error}") from error
    for column in (*labels, "foreign_material"):
        if column in frame.columns:
            _require_values(frame, column, (0.0, 1.0), name)
    require_disjoint(frame, name)
    return by_split(frame)


def doubtful_patients(frame: pd.DataFrame) -> list[str]:
    """Notes on identifiers that may be wrong: one patient under two, or several patients under one.

    Two identifiers that differ only in case, in zeros before a number, in a ``.0`` or in the marks between words are
    often one patient whose images then lie in several splits. One in scientific notation has lost its last digits. One
    that holds both sexes, or most of the images, is often a word for nobody.
    """
    notes: list[str] = []
    people = frame["patient_id"].drop_duplicates()
    if not pd.api.types.is_numeric_dtype(people):
        text = people.astype(str)
        rounded = text[text.str.fullmatch(_SCIENTIFIC)]
        if len(rounded):
            told = (
                f"{len(rounded):,} identifiers are rounded numbers (1.2E+09), and each may stand for several patients"
            )
            notes.append(Note(told, _few(list(map(repr, rounded)))))
        plain = text.map(_plain)
        alike = text[plain.duplicated(keep=False)].groupby(plain).agg(list)
        if len(alike):
            named = _few([" and ".join(map(repr, sorted(names)[:3])) for names in alike])
            told = f"{len(alike):,} patients may have several identifiers, which differ only in case, zeros or .0"
            notes.append(Note(told, named))
    if "sex" in frame.columns:
        both = frame.groupby("patient_id", sort=False)["sex"].nunique()
        both = both[both > 1]
        if len(both):
            notes.append(Note(f"{len(both):,} patients have images of both sexes", _few([repr(p) for p in both.index])))
    sizes = frame["patient_id"].value_counts()
    if len(frame) >= _MANY and len(sizes) > 2 and sizes.iloc[0] * 2 > len(frame):
        told = f"one patient has {sizes.iloc[0]:,} of {len(frame):,} images, and may be a word for nobody"
        notes.append(Note(told, repr(sizes.index[0])))
    return notes


def _plain(identifier: str) -> str:
    """An identifier without what people write in one place and leave away in another."""
    text = identifier.upper().translate(_LOOK_LIKE_LATIN).casefold().strip()
    plain = _BETWEEN.sub("", _MARKS.sub("-", _POINT_ZERO.sub("", text)))
    return _ZEROS.sub("", plain)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def by_split(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with train before val before test, otherwise in their order, and a fresh index."""
    order = frame["split"].map({split: place for place, split in enumerate(SPLITS)})
    return frame.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)


def table_digest(frame: pd.DataFrame) -> str:
    """SHA-256 over the table as CSV, columns by name; paths are left out, so that a moved folder stays the same."""
    columns = sorted(set(frame.columns) - set(_LEFT_OUT_OF_DIGEST))
    text = frame[columns].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def counts(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """What there is a split: ``images``, ``patients``, ``multi_images`` and ``positive_pairs``.

    ``multi_images`` are the images of patients with at least two; ``positive_pairs`` every combination of two images of
    a patient.
    """
    result = {}
    for split in SPLITS:
        sizes = frame.loc[frame["split"] == split].groupby("patient_id").size().to_numpy(dtype=np.int64)
        result[split] = {
            "images": int(sizes.sum()),
            "patients": len(sizes),
            "multi_images": int(sizes[sizes > 1].sum()),
            "positive_pairs": int((sizes * (sizes - 1) // 2).sum()),
        }
    return result


def _require_values(
    frame: pd.DataFrame, column: str, allowed: tuple[object, ...], name: str, *, missing_allowed: bool = True
) -> None:
    known = frame[column].isin(allowed)
    if missing_allowed:
        known |= frame[column].isna()
    if not known.all():
        row = frame.loc[~known].iloc[0]
        wanted = ", ".join(str(value) for value in allowed)
        raise ReidbenchError(
            f"{name}: image {row['image_id']!r} has {column} {str(row[column])!r}, which is none of {wanted}"
        )
