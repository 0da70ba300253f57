"""Patients of a cohort and their clusters, for the k-Same defenses."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench import ReidbenchError, round_grey

Pixels = NDArray[np.uint8]


class Patients:
    """The patients of a set of images, in an order that their images alone decide.

    Whatever order the rows or the patients' numbers have, patient i is the same here, so that sums which run over
    patients round alike. (Patients with exactly the same mean image keep the order of their numbers.)

    Args:
        pixels: (N, H, W); may be memory-mapped.
        patients: (N,) each image's patient.
    """

    def __init__(self, pixels: Pixels, patients: NDArray[np.int64]) -> None:
        self.pixels = pixels
        order = np.argsort(patients, kind="stable")
        borders = np.flatnonzero(np.diff(patients[order])) + 1
        self.rows = [rows for rows in np.split(order, borders) if len(rows)]
        digests = [hashlib.blake2b(self.mean(number).data).digest() for number in range(len(self))]
        self.rows = [self.rows[number] for number in sorted(range(len(self)), key=digests.__getitem__)]

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, k: int) -> None:
        """Refuses a cohort in which no cluster of ``k`` can be found.

        Raises:
            ReidbenchError: there are fewer than k patients.
        """
        if len(self) < k:
            raise ReidbenchError(f"k={k} needs at least {k} patients to hide among, not {len(self)}; give a smaller k")

    def mean(self, number: int) -> NDArray[np.float64]:
        """The mean image of a patient, (H, W) in grey levels: sums of integers are exact in any order."""
        rows = self.rows[number]
        return self.pixels[rows].sum(axis=0, dtype=np.int64) / len(rows)

    def publish(self, cluster: NDArray[np.int64], image: NDArray[np.float64], out: Pixels) -> None:
        """Writes one image (H, W), in grey levels, over all rows of a cluster's patients."""
        rows = np.concatenate([self.rows[number] for number in cluster])
        out[rows] = round_grey(image)

    def clusters(self, features: NDArray[np.float32], k: int, rng: torch.Generator) -> list[NDArray[np.int64]]:
        """Groups of ``k`` patients that look alike; the last one takes what is left, fewer than 2k.

        Greedy, as k-Same is: the next patient, in an order that ``rng`` draws, and its k − 1 nearest of those not yet
        in a cluster.

        Args:
            features: (P, D), one row per patient; distances are Euclidean.
            k: from 2 to P.
        """
        features = features - features.mean(axis=0)
        left = torch.randperm(len(self), generator=rng).numpy()
        found: list[NDArray[np.int64]] = []
        while len(left) >= 2 * k:
            near = _nearest(features[left], k, len(left) // (4 * k) + 1)
            taken = np.zeros(len(left), dtype=bool)
            for members in near:
                taken[members] = True
                found.append(np.sort(left[members]))
            left = left[~taken]
        return [*found, np.sort(left)]


def _nearest(features: NDArray[np.float32], k: int, count: int) -> list[NDArray[np.int64]]:
    # ``count`` clusters of these rows: the caller then copies what is left, which at every step would cost too much.
    norms = np.einsum("ij,ij->i", features, features)
    free = np.ones(len(features), dtype=bool)
    found: list[NDArray[np.int64]] = []
    for _ in range(count):
        first = int(free.argmax())
        free[first] = False
        squared = np.where(free, norms - 2 * (features @ features[first]), np.inf)
        members = np.append(np.argpartition(squared, k - 2)[: k - 1], first)
        free[members] = False
        found.append(members)
    return found
