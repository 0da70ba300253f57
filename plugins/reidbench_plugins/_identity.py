"""A defender's own network that knows patients apart: what cloak and identity_blocking share."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reidbench import EmbeddingNet, ReidbenchError

#: Numbers of an identity vector.
DIMENSIONS = 64
#: Cosines are divided by it before the softmax.
TEMPERATURE = 0.1


class IdentityNet(nn.Module):
    """Images to unit vectors that lie close for one patient. No attacker ever gets these weights."""

    def __init__(self, backbone: str, grid: int) -> None:
        super().__init__()
        self.embedding = EmbeddingNet(backbone, dimensions=DIMENSIONS, grid=grid)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, 64)."""
        return F.normalize(self.embedding(images), dim=1)


def partners(patients: NDArray[np.int64]) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """A function from rows to other images of the same patients, drawn from torch's global generator.

    The row itself, where its patient has no other image.

    Raises:
        ReidbenchError: no patient has two images, or there is only one patient.
    """
    order = np.argsort(patients, kind="stable")
    _, starts, where, counts = np.unique(patients[order], return_index=True, return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise ReidbenchError(
            f"an identity network takes two patients, and one with two images; of the {len(counts)} in the train split "
            f"{(counts > 1).sum()} have two"
        )
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    start, count = starts[where], counts[where]

    def other(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        here = place[rows]
        drawn = torch.rand(len(rows)).double().numpy()
        # Steps round the patient's images that do not lead back.
        steps = 1 + np.floor(drawn * np.maximum(count[here] - 1, 1)).astype(np.int64)
        found: NDArray[np.int64] = order[start[here] + (here - start[here] + steps) % count[here]]
        return found

    return other


def identity_loss(
    vectors: torch.Tensor, others: torch.Tensor, patients: NDArray[np.int64], alone: NDArray[np.bool_]
) -> torch.Tensor:
    """Cross-entropy of finding each image's partner among those of the batch, by cosine (as NT-Xent).

    Args:
        vectors, others: (B, D) of unit length; row i of both is the same patient.
        patients: (B,); other rows of one patient are left out of the choice.
        alone: (B,) rows whose partner is themselves, which say nothing.
    """
    logits = vectors @ others.T / TEMPERATURE
    rows = torch.arange(len(vectors), device=vectors.device)
    same = torch.from_numpy(patients[:, None] == patients).to(vectors.device)
    same[rows, rows] = False
    found = F.cross_entropy(logits.masked_fill(same, -torch.inf), rows, reduction="none")
    paired = torch.from_numpy(~alone).to(vectors.device)
    return found[paired].mean() if bool(paired.any()) else (vectors.sum() + others.sum()) * 0
