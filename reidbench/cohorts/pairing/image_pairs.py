"""Pairs of images, as rows of a table; apart from their choice, which needs pandas, and judging them does not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of images of one table, in random order.

    Attributes:
        a, b: (P,) row numbers of the table: probes, and the images they are compared with.
        same: (P,) whether both are of one patient.
        notes: what a person must know, a line each.
        matched: with matched negatives, how many genuine pairs have an impostor and stay; otherwise None.
    """

    a: Rows
    b: Rows
    same: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    matched: int | None = None

    def __len__(self) -> int:
        return len(self.same)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over rows and truth."""
        parts = (np.ascontiguousarray(part).tobytes() for part in (self.a, self.b, self.same))
        return hashlib.sha256(b"".join(parts)).hexdigest()
