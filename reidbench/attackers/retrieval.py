"""The retrieval attacker: rank a gallery by likeness to an image."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from reidbench.attackers.base import Attacker
from reidbench.attackers.heads import NormalizedDistance, PairHead
from reidbench.attackers.losses import Contrast
from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.siamese import QUICK, STANDARD, SiameseAttacker


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
        return NormalizedDistance()

    def objective(self) -> nn.Module:
        """Supervised contrast with a cross-batch memory."""
        return Contrast(self.dimensions, self.temperature, self.memory)
