"""Batches of patients: several images of each, on both sides, so that a batch holds many genuine pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.errors import ReidbenchError

#: Row numbers of a batch on the probe side and on the gallery side.
Sides = tuple[NDArray[np.int64], NDArray[np.int64]]


class PatientBatches:
    """Row numbers in batches of two sides, the same for the same seed and epoch.

    A batch is filled patient by patient, with up to ``images_per_patient`` different images of each, half of them on
    the probe side and half on the gallery side. A patient with m images is drawn with weight √m, between an equal say
    for patients and an equal say for images. The last ``singles`` places hold images of patients who have only one:
    they make no genuine pair, but impostor pairs. No patient and no image stands twice in a batch, so that no pair is
    an image and its own release, and every other patient stands on both sides.

    Raises:
        ReidbenchError: no patient has two images, or there is only one patient.
    """

    def __init__(
        self,
        patients: NDArray[np.int64],
        *,
        batch_size: int,
        images_per_patient: int,
        seed: int,
        singles: int = 0,
    ) -> None:
        order = np.argsort(patients, kind="stable")
        _, starts = np.unique(patients[order], return_index=True)
        groups = np.split(order, starts[1:])
        self._groups = [group for group in groups if len(group) > 1]
        self._single = np.array([group[0] for group in groups if len(group) == 1], dtype=np.int64)
        if not self._groups or len(groups) < 2:
            raise ReidbenchError(
                f"cannot train a re-identification attacker: {len(self._groups)} of the {len(groups)} patients to "
                "train on have two images or more; it takes a pair of images of one patient, and a second patient"
            )
        weights = np.sqrt([len(group) for group in self._groups])
        self._weights = weights / weights.sum()
        # One patient with a pair makes no impostor pair: then the others must come in.
        self._singles = min(max(singles, int(len(self._groups) == 1)), len(self._single))
        self._filled = batch_size - self._singles
        self._per_patient = images_per_patient
        self._seed = seed

    def epoch(self, number: int, steps: int) -> list[Sides]:
        """The batches of one epoch: ``steps`` pairs of row numbers, ``batch_size`` of them at most."""
        rng = np.random.default_rng([self._seed, number])
        return [self._draw(rng) for _ in range(steps)]

    def _draw(self, rng: np.random.Generator) -> Sides:
        probe: list[int] = []
        gallery: list[int] = []
        room = self._filled
        # An exponential race gives a weighted order without replacement in one draw.
        for index in np.argsort(rng.exponential(size=len(self._weights)) / self._weights):
            group = self._groups[index]
            take = min(self._per_patient, len(group), room)
            if take < 2:
                break
            _share(rng.choice(group, take, replace=False), probe, gallery)
            room -= take
        if self._singles:
            _share(rng.choice(self._single, self._singles, replace=False), probe, gallery)
        return np.array(probe, dtype=np.int64), np.array(gallery, dtype=np.int64)


def _share(rows: NDArray[np.int64], probe: list[int], gallery: list[int]) -> None:
    # Half to each side, and an odd one to the side that has fewer.
    half = (len(rows) + (len(probe) < len(gallery))) // 2
    probe.extend(rows[:half])
    gallery.extend(rows[half:])
