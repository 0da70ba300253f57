"""Images by patient, as both of the paper's trainings need them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError

Rows = NDArray[np.int64]


def with_several(patients: Rows) -> list[Rows]:
    """The row numbers of each patient who has two images or more.

    Raises:
        ReidbenchError: there is none, or no other patient.
    """
    order = np.argsort(patients, kind="stable")
    _, starts = np.unique(patients[order], return_index=True)
    groups = np.split(order, starts[1:]) if len(order) else []
    several = [group.astype(np.int64) for group in groups if len(group) > 1]
    if not several or len(groups) < 2:
        raise ReidbenchError(
            f"cannot train a re-identification attacker: {len(several)} of the {len(groups)} patients to "
            "train on have two images or more; it takes a pair of images of one patient, and a second patient"
        )
    return several
