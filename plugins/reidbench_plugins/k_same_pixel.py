"""k-anonymity by averaging the images of k patients."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reidbench import CohortDefense, Field
from reidbench_plugins._patients import Patients

# Patients are compared in mean images of at most so many pixels a side.
THUMBNAIL = 32


class KSamePixel(CohortDefense):
    """Clusters patients who look alike, at least k of them, and publishes the mean of the cluster (k-Same-Pixel).

    Newton, Sweeney and Malin, "Preserving privacy by de-identifying face images" (2005), with patients for faces: a
    patient with several images stands as their mean, since clusters of images would let one patient fill a cluster
    alone. Greedy clusters of the k nearest (Euclidean distance of the patients' mean images, reduced to at most 32 × 32
    pixels); those that are left over join the last, so that no cluster has fewer than k patients. All images of a
    cluster's patients are published as one and the same image, the mean over patients of their means.

    Among the patients of a closed set the chance to name one drawn evenly is at most 1/k. Of an image it is more where
    patients have different numbers of images: the best guess is the cluster's patient with the most, and is right as
    often as that patient's share of the cluster's images. Two releases of one set with different seeds or k can be
    intersected. It is not differentially private.
    """

    name = "k_same_pixel"
    family = "k-same"
    operating_points = {"mild": {"k": 2}, "moderate": {"k": 3}, "strong": {"k": 5}, "severe": {"k": 10}}
    k: int = Field(5, ge=2, le=10_000, description="smallest number of patients in a cluster; 1 would hide nobody")

    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Returns cluster means: (N, H, W) uint8.

        Raises:
            ReidbenchError: there are fewer than k patients.
        """
        people = Patients(pixels, patients)
        people.require(self.k)
        out = np.empty_like(pixels)
        for cluster in people.clusters(_thumbnails(people), self.k, rng):
            total = sum((people.mean(number) for number in cluster), start=np.zeros(pixels.shape[1:]))
            people.publish(cluster, total / len(cluster), out)
        return out


def _thumbnails(people: Patients) -> NDArray[np.float32]:
    height, width = people.pixels.shape[1:]
    size = (min(height, THUMBNAIL), min(width, THUMBNAIL))
    rows = np.empty((len(people), size[0] * size[1]), dtype=np.float32)
    for number in range(len(people)):
        mean = torch.from_numpy(people.mean(number))
        rows[number] = F.adaptive_avg_pool2d(mean[None], size).flatten().numpy()
    return rows
