"""Whether a generator publishes copies of what it was trained on."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reidbench import to_unit

#: Images are compared at this width and height at most.
SIDE = 32


def memorization(
    synthetic: NDArray[np.uint8],
    train: NDArray[np.uint8],
    patients: NDArray[np.int64],
    held_out: NDArray[np.uint8],
) -> dict[str, float]:
    """Counts synthetic images that are nearer to a training patient than any image of other patients is.

    Distances are Euclidean, between images averaged down to at most 32 × 32 pixels. A synthetic image copies a patient
    if it is nearer to one of the patient's training images than the nearest held-out image is to any of them. Of a
    generator that memorizes nothing, about one image in 1 + the number of held-out ones does so for each patient.

    Args:
        synthetic, held_out: (S, H, W) and (N', H, W) uint8, at least one of each.
        train: (N, H, W) uint8, at least one, with their patients (N,).

    Returns:
        ``memorized_share``: of the synthetic images, those that copy a patient; ``memorized_patients``: of the
        patients, those who are copied; ``memorized_most``: the largest share that copies a single patient.
    """
    made, known, others = (_small(images) for images in (synthetic, train, held_out))
    _, patient = np.unique(patients, return_inverse=True)
    count = int(patient.max()) + 1
    bound = _nearest(known, others, patient, count).amin(dim=1)
    copies = _nearest(known, made, patient, count) < bound[:, None]
    return {
        "memorized_share": float(copies.any(dim=0).double().mean()),
        "memorized_patients": float(copies.any(dim=1).double().mean()),
        "memorized_most": float(copies.double().mean(dim=1).amax()),
    }


def _small(pixels: NDArray[np.uint8]) -> torch.Tensor:
    size = (min(SIDE, pixels.shape[1]), min(SIDE, pixels.shape[2]))
    return F.adaptive_avg_pool2d(to_unit(pixels), size).flatten(1)


def _nearest(known: torch.Tensor, images: torch.Tensor, patient: NDArray[np.int64], count: int) -> torch.Tensor:
    """The distance from each patient's nearest image to each image: (patients, images)."""
    distances = torch.cdist(known, images, compute_mode="donot_use_mm_for_euclid_dist")
    rows = torch.from_numpy(patient)[:, None].expand_as(distances)
    nearest = torch.full((count, len(images)), torch.inf)
    return nearest.scatter_reduce(0, rows, distances, "amin")
