"""The retrieval attacker: rank a gallery by likeness to an image."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from reidbench.attackers.base import Attacker
from reidbench.attackers.lightning_module import PairHead
from reidbench.attackers.losses import Contrast
from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.siamese import QUICK, STANDARD, SiameseAttacker


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


class Retrieval(SiameseAttacker):
    """A siamese network whose vectors lie near each other where the images are of one patient."""

    name = "retrieval"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": QUICK, "standard": STANDARD}
    recipes: ClassVar[dict[str, type[Attacker]]] = {"paper": PaperRetrieval}

    temperature: float = Field(0.1, gt=0, description="of the contrastive loss")
    memory: int = Field(
        0, ge=0, description="embeddings of a side, from the last batches, to contrast a batch with too"
    )

    def head(self) -> PairHead:
        """Euclidean distance of normalized vectors."""
        return DistanceHead()

    def objective(self) -> nn.Module:
        """Supervised contrast with a cross-batch memory."""
        return Contrast(self.dimensions, self.temperature, self.memory)
