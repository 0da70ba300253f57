"""Patient-disjoint splits, decided by a hash of the patient so that they stay as they are when patients are added."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reidbench.cohorts.base import SPLITS
from reidbench.errors import ReidbenchError

# Enough patients for a threshold at 1 % false positives; every other patient is worth more to train on.
VALIDATION_SHARE = 0.05


def position(patient: object, salt: str) -> float:
    """A patient's place in [0, 1), uniform over patients, from the identifier as text and nothing else."""
    digest = hashlib.sha256(f"{salt}:{patient}".encode()).digest()
    # 53 bits, as many as a float holds: 64 of them could round up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def by_patient(patients: pd.Series, shares: Mapping[str, float], *, salt: str) -> pd.Series:
    """Assigns a split to every row by its patient.

    Args:
        patients: an identifier a row.
        shares: split names and their expected shares of patients, positive or zero, together 1.
        salt: names the assignment; two salts give independent ones.

    Returns:
        The split a row, with the index of ``patients``.

    Raises:
        ReidbenchError: the shares are negative or don't make 1.
    """
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise ReidbenchError(f"shares of the splits must be at least 0 and make 1, not {dict(shares)}")
    names = [name for name, share in shares.items() if share > 0]
    edges = np.cumsum([shares[name] for name in names])
    unique = pd.unique(patients)
    places = np.array([position(patient, salt) for patient in unique], dtype=np.float64)
    chosen = np.minimum(np.searchsorted(edges, places, side="right"), len(names) - 1)
    return patients.map(dict(zip(unique, np.array(names, dtype=object)[chosen])))


def require_disjoint(frame: pd.DataFrame, name: str) -> None:
    """Refuses a table in which a patient stands in two splits.

    Raises:
        ReidbenchError: naming the first such patient, its splits, and how many there are.
    """
    pairs = frame[["patient_id", "split"]].drop_duplicates()
    shared = pairs[pairs["patient_id"].duplicated(keep=False)]
    if shared.empty:
        return
    patient = shared["patient_id"].iloc[0]
    splits = sorted(shared.loc[shared["patient_id"] == patient, "split"], key=SPLITS.index)
    others = shared["patient_id"].nunique() - 1
    more = f" (and {others:,} more patients are shared)" if others else ""
    raise ReidbenchError(
        f"{name}: patient {patient} is in {' and '.join(splits)}{more}; an attacker trained on a test patient proves "
        "nothing: put every patient in one split"
    )


def with_validation(frame: pd.DataFrame, share: float = VALIDATION_SHARE) -> tuple[pd.DataFrame, str | None]:
    """Takes a validation part from the train patients where there is none.

    Args:
        frame: a table with ``patient_id`` and ``split``.
        share: of the train patients, chosen by hash.

    Returns:
        The table (a new one if changed) and the line that says what was done, None if nothing was.
    """
    train = frame["split"] == "train"
    if (frame["split"] == "val").any() or not train.any():
        return frame, None
    drawn = by_patient(frame.loc[train, "patient_id"], {"val": share, "train": 1 - share}, salt="validation")
    moved = drawn.index[drawn == "val"]
    if len(moved) in (0, int(train.sum())):
        return frame, "the validation part is empty, and there are too few train patients to take one from"
    result = frame.copy()
    result.loc[moved, "split"] = "val"
    patients = frame.loc[moved, "patient_id"].nunique()
    return result, (
        f"the validation part was empty: {len(moved):,} images of {patients:,} patients were taken from train, "
        "by hash of the patient"
    )
