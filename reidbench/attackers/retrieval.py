"""The retrieval attacker: rank a gallery by likeness to an image."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from pytorch_metric_learning.losses import CrossBatchMemory, SupConLoss
from torch import nn
from torch.nn import functional

from reidbench.attackers.learner import Batch, PairHead
from reidbench.attackers.siamese import SiameseAttacker
from reidbench.plugins import hookimpl


class DistanceHead(PairHead):
    """Minus the Euclidean distance of vectors of length 1."""

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """z / ‖z‖, (B, D)."""
        return functional.normalize(embeddings)

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """All distances, from differences: by inner products, equal vectors would be some 1e-4 apart."""
        return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances, row by row."""
        return -(a - b).square().sum(dim=1).sqrt()


class _Memory(CrossBatchMemory):  # type: ignore[misc]
    """A cross-batch memory whose place survives a checkpoint."""

    def get_extra_state(self) -> dict[str, Any]:
        return {"place": self.queue_idx, "filled": self.has_been_filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.queue_idx, self.has_been_filled = state["place"], state["filled"]

    @property
    def held(self) -> int:
        return int(self.memory_size if self.has_been_filled else self.queue_idx)


class Contrast(nn.Module):
    """Supervised contrastive loss (Khosla et al. 2020) from each side to the other.

    An image is compared with the other side of its batch and of the last ones, from a memory (Wang et al. 2020).
    """

    def __init__(self, dimensions: int, temperature: float, memory: int) -> None:
        super().__init__()
        self.probes = _Memory(SupConLoss(temperature), dimensions, memory)
        self.gallery = _Memory(SupConLoss(temperature), dimensions, memory)

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The loss, and the log of how many images each is compared with."""
        vectors = torch.cat([batch.probe, batch.gallery])
        patients = torch.cat([batch.probe_patients, batch.gallery_patients])
        from_gallery = torch.arange(len(vectors), device=vectors.device) >= len(batch.probe)
        loss = self.gallery(vectors, patients, enqueue_mask=from_gallery)
        loss = loss + self.probes(vectors, patients, enqueue_mask=~from_gallery)
        return loss / 2, (math.log(self.gallery.held) + math.log(self.probes.held)) / 2


class Retrieval(SiameseAttacker):
    """A siamese network whose vectors lie near each other where the images are of one patient."""

    name = "retrieval"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}}

    temperature: float = Field(0.1, gt=0, description="of the contrastive loss")
    memory: int = Field(1024, ge=1, description="vectors of earlier batches that a batch is compared with")

    def head(self) -> PairHead:
        """Euclidean distance of normalized vectors."""
        return DistanceHead()

    def objective(self) -> nn.Module:
        """Supervised contrast with a cross-batch memory."""
        return Contrast(self.dimensions, self.temperature, max(self.memory, self.batch_size))


@hookimpl
def reidbench_attackers() -> list[type]:
    """The attacker of this module."""
    return [Retrieval]
