"""k-anonymity by averaging the eigenimage coefficients of k patients."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from reidbench import CohortDefense, Field
from reidbench_plugins._patients import Patients

# The basis is found on so many patients at most, and on so many numbers (half a GiB), spread over the cohort.
BASIS_PATIENTS = 2048
BASIS_NUMBERS = 2**27
# Mean images are projected so many at a time.
CHUNK = 64


class KSameEigen(CohortDefense):
    """Clusters patients who look alike, at least k of them, and publishes the mean of their eigenimage coefficients.

    k-Same-Eigen of Newton, Sweeney and Malin, "Preserving privacy by de-identifying face images" (2005), with patients
    for faces: a principal component analysis of the patients' mean images, clusters of the k nearest by Euclidean
    distance of the coefficients (greedy; those that are left over join the last, so that none has fewer than k
    patients), and one image for all images of a cluster's patients, rebuilt from their mean coefficients. With few
    components it is blander than k_same_pixel. Basis and mean come from the published set; beyond 2,048 patients from
    an even sample of it.

    Among the patients of a closed set the chance to name one drawn evenly is at most 1/k. Of an image it is more where
    patients have different numbers of images: the best guess is the cluster's patient with the most, and is right as
    often as that patient's share of the cluster's images. Two releases of one set with different seeds or k can be
    intersected. It is not differentially private.
    """

    name = "k_same_eigen"
    family = "k-same"
    operating_points = {"mild": {"k": 2}, "moderate": {"k": 3}, "strong": {"k": 5}, "severe": {"k": 10}}
    k: int = Field(5, ge=2, le=10_000, description="smallest number of patients in a cluster; 1 would hide nobody")
    components: int = Field(
        64, ge=1, le=1024, description="number of principal components; at most as many as there are patients are used"
    )

    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Returns images rebuilt from cluster means: (N, H, W) uint8.

        Raises:
            ReidbenchError: there are fewer than k patients.
        """
        people = Patients(pixels, patients)
        people.require(self.k)
        basis = self._basis(people)
        chunks = np.array_split(np.arange(len(people)), -(-len(people) // CHUNK))
        coefficients = np.concatenate([basis.transform(_means(people, numbers)) for numbers in chunks])
        out = np.empty_like(pixels)
        for cluster in people.clusters(coefficients, self.k, rng):
            rebuilt = basis.inverse_transform(coefficients[cluster].mean(axis=0, keepdims=True))
            people.publish(cluster, rebuilt.reshape(pixels.shape[1:]), out)
        return out

    def _basis(self, people: Patients) -> PCA:
        count = min(len(people), BASIS_PATIENTS, max(2, BASIS_NUMBERS // people.pixels[0].size))
        chosen = np.linspace(0, len(people) - 1, count).round().astype(np.int64)
        components = min(self.components, count, people.pixels[0].size)
        # The seed is fixed: only the solver uses it, whose result should not vary. Patients who are all alike have no
        # variance to explain, and need none.
        with np.errstate(invalid="ignore"):
            return PCA(components, svd_solver="randomized", random_state=0).fit(_means(people, chosen))


def _means(people: Patients, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    images = np.empty((len(numbers), people.pixels[0].size), dtype=np.float32)
    for row, number in enumerate(numbers):
        images[row] = people.mean(number).ravel()
    return images
