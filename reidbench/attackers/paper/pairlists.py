"""Lists of training pairs: fixed for the whole training (FTS), or with negatives redrawn every epoch (RNP)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidbench.attackers.paper.patients import Rows, with_several

TrainingSet = Literal["fts", "rnp"]
#: Some pairs, as a plain tuple, which is what a data loader takes: (a, b, same).
Batch = tuple[Rows, Rows, NDArray[np.bool_]]


@dataclass(frozen=True)
class TrainingPairs:
    """Pairs of images by row number.

    Attributes:
        a, b: (P,) both images; never the same one.
        same: (P,) whether they are of one patient.
    """

    a: Rows
    b: Rows
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.same)

    def cut(self, size: int) -> list[Batch]:
        """In batches of ``size``, in order; the last one takes what is left."""
        starts = range(0, len(self), size)
        return [(self.a[i : i + size], self.b[i : i + size], self.same[i : i + size]) for i in starts]


class PairList:
    """Balanced pairs, the same for the same seed and epoch, in a new order every epoch.

    Positives are all combinations of two images of a patient, or a uniform draw of them, fixed for the whole training;
    which of the two comes first is drawn once. Negatives are two uniform draws of an image, drawn again if both are of
    one patient: patients with many images stand in more of them, as in the paper.

    Args:
        patients: (N,) each image's patient.
        pairs: N_s, the size of the training set: half of it positives. Where there are not as many, all of them, and as
            many negatives.
        kind: ``fts``, negatives drawn once, or ``rnp``, drawn anew every epoch.

    Raises:
        ReidbenchError: no patient has two images, or there is only one patient.
    """

    def __init__(self, patients: Rows, *, pairs: int, kind: TrainingSet, seed: int) -> None:
        groups = with_several(patients)
        self._patients = patients
        self._redrawn = kind == "rnp"
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        found = np.array([pair for group in groups for pair in combinations(group.tolist(), 2)], dtype=np.int64)
        if len(found) > pairs // 2:
            found = found[rng.choice(len(found), max(1, pairs // 2), replace=False)]
        self._positives = np.where(rng.random((len(found), 1)) < 0.5, found, found[:, ::-1])
        self._negatives = self._draw(rng)

    def __len__(self) -> int:
        return 2 * len(self._positives)

    def epoch(self, number: int) -> TrainingPairs:
        """The pairs of one epoch, shuffled."""
        rng = np.random.default_rng([self._seed, 1, number])
        negatives = self._draw(rng) if self._redrawn else self._negatives
        rows = np.concatenate([self._positives, negatives])
        same = np.arange(len(rows)) < len(self._positives)
        order = rng.permutation(len(rows))
        return TrainingPairs(rows[order, 0], rows[order, 1], same[order])

    def _draw(self, rng: np.random.Generator) -> Rows:
        drawn = rng.integers(len(self._patients), size=(len(self._positives), 2))
        while len(rejected := np.flatnonzero(self._patients[drawn[:, 0]] == self._patients[drawn[:, 1]])):
            drawn[rejected] = rng.integers(len(self._patients), size=(len(rejected), 2))
        return drawn
