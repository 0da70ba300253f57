"""Impostor pairs whose sex, age and view differ as those of genuine pairs do, so that metadata alone tell nothing.

On a hundred thousand random pairs of ChestX-ray14, sex and age from the table alone separate genuine from impostor
pairs with an AUC of 0.977. An attacker's AUC on such pairs says little about what is in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.metadata import metadata_score
from reidbench.errors import ReidbenchError

Rows = NDArray[np.int64]

# How far in years the impostor's age may lie from the age it replaces, tried in turn, the nearest first.
_WINDOWS = (0.0, 1.0)
_WINDOWS_OF_FRACTIONS = (0.1, 0.3, 1.0)
_TRIES = 6
# Further apart than any two ages of one group, so that groups don't touch on the one axis they share.
_GROUP_GAP = 1000.0
# Width in years of the bins in which genuine and impostor pairs are made equally frequent.
_BIN = 0.25


@dataclass(frozen=True)
class Matched:
    """Genuine and impostor pairs that metadata cannot tell apart.

    Attributes:
        genuine: (M,) numbers of the genuine pairs that stay.
        a, b: (M,) rows of the impostor pairs.
        notes: how many there are, a line each.
    """

    genuine: Rows
    a: Rows
    b: Rows
    notes: tuple[str, ...]


class Matching:
    """Finds, for an image, images of other patients with like metadata.

    Unknown is a value like others: an image of unknown age is replaced by another of unknown age. A column that is not
    there or holds nothing is not matched on.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._patients = frame["patient"].to_numpy(dtype=np.int64)
        self._columns = [name for name in ("sex", "age", "view") if name in frame and frame[name].notna().any()]
        if not self._columns:
            raise ReidbenchError("matched negatives need a column sex, age or view, and the table has none of them")
        group = np.zeros(len(frame), dtype=np.int64)
        for name in ("sex", "view"):
            if name in self._columns:
                codes = pd.factorize(frame[name])[0] + 1
                group = group * (codes.max() + 1) + codes
        age = np.zeros(len(frame))
        if "age" in self._columns:
            age = frame["age"].to_numpy(dtype=np.float64)
            group = group * 2 + np.isnan(age)
            age = np.nan_to_num(age)
        self._windows = _WINDOWS if (age == np.rint(age)).all() else _WINDOWS_OF_FRACTIONS
        # One sorted axis for all groups: the candidates of an image are a run of it.
        self._place = pd.factorize(group)[0] * _GROUP_GAP + age
        self._order = np.argsort(self._place, kind="stable")
        self._sorted = self._place[self._order]

    def draw(self, a: Rows, b: Rows, rng: np.random.Generator) -> Matched:
        """Draws an impostor pair for each genuine pair (a, b) where there is one; then evens out the age differences.

        An impostor a year older or younger is further from its partner than a patient is from themselves on the same
        day. Where such ones had to be taken, pairs are dropped at random, of both kinds, until the metadata score
        is distributed alike over genuine and impostor pairs.

        Raises:
            ReidbenchError: no pair is left.
        """
        genuine, c, d = self._replace(a, b, rng)
        found = len(genuine)
        real = self._bins(a[genuine], b[genuine])
        fake = self._bins(c, d)
        kept_real, kept_fake = _even_out(real, fake, rng)
        if len(kept_real) == 0:
            raise ReidbenchError(f"no genuine pair has an impostor with the same {self._named()}: use random negatives")
        line = (
            f"negatives matched on {self._named()}: {found:,} of {len(a):,} genuine pairs found an impostor, "
            f"{len(kept_real):,} are kept so that metadata tell nothing"
        )
        return Matched(genuine[kept_real], c[kept_fake], d[kept_fake], (line,))

    def _replace(self, a: Rows, b: Rows, rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
        """Replaces the second image of each pair by a like one of another patient; no impostor pair comes twice."""
        count = len(self._patients)
        taken = np.zeros(0, dtype=np.int64)
        pending = rng.permutation(len(a))
        done: list[tuple[Rows, Rows, Rows]] = []
        for window in np.repeat(self._windows, _TRIES):
            low, high = self._runs(window)
            anchor, like = a[pending], b[pending]
            other = self._order[rng.integers(low[like], high[like])]
            codes = np.minimum(anchor, other) * count + np.maximum(anchor, other)
            good = self._patients[anchor] != self._patients[other]
            good[good] = ~pd.Series(np.concatenate([taken, codes[good]])).duplicated().to_numpy()[len(taken) :]
            done.append((pending[good], anchor[good], other[good]))
            taken = np.concatenate([taken, codes[good]])
            pending = pending[~good]
            if len(pending) == 0:
                break
        genuine, anchors, others = (np.concatenate(column) for column in zip(*done))
        return genuine, anchors, others

    def _runs(self, window: float) -> tuple[Rows, Rows]:
        """For each image, where on the axis those of its group at most ``window`` years away begin and end."""
        low = np.searchsorted(self._sorted, self._place - window, side="left")
        return low, np.searchsorted(self._sorted, self._place + window, side="right")

    def _bins(self, a: Rows, b: Rows) -> Rows:
        return np.rint(metadata_score(self._frame, a, b) / _BIN).astype(np.int64)

    def _named(self) -> str:
        return ", ".join("age (± 1 year)" if name == "age" else name for name in self._columns)


def _even_out(real: Rows, fake: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Numbers of both that stay so that every value comes as often in ``real`` as in ``fake``, drawn uniformly."""
    kept = []
    values, codes = np.unique(np.concatenate([real, fake]), return_inverse=True)
    parts = codes[: len(real)], codes[len(real) :]
    allowed = np.minimum(*(np.bincount(part, minlength=len(values)) for part in parts))
    for part in parts:
        order = rng.permutation(len(part))
        order = order[np.argsort(part[order], kind="stable")]
        grouped = part[order]
        rank = np.arange(len(part)) - np.searchsorted(grouped, grouped, side="left")
        kept.append(np.sort(order[rank < allowed[grouped]]))
    return kept[0], kept[1]
