"""The verification attacker: are these two images of one patient?"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import nn

from reidbench.attackers.base import Attacker
from reidbench.attackers.heads import PairHead, ScaledDifference
from reidbench.attackers.losses import Contrast, PairsAndContrast
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.attackers.siamese import QUICK, STANDARD, SiameseAttacker


class Verification(SiameseAttacker):
    """A siamese network that answers with the probability that two images are of one patient.

    All pairs of a batch of patients are trained on, in place of a list of pairs, and a contrastive loss beside them.
    """

    name = "verification"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": QUICK, "standard": STANDARD}
    recipes: ClassVar[dict[str, type[Attacker]]] = {"paper": PaperVerification}

    contrast: float = Field(1.0, ge=0, description="weight of the contrastive loss beside the cross-entropy")
    temperature: float = Field(0.1, gt=0, description="of the contrastive loss")
    memory: int = Field(
        0, ge=0, description="embeddings of a side, from the last batches, to contrast a batch with too"
    )

    def head(self) -> PairHead:
        """|σ(z₁) − σ(z₂)|, linear."""
        return ScaledDifference(self.dimensions)

    def objective(self) -> nn.Module:
        """Balanced binary cross-entropy, and contrast."""
        contrast = Contrast(self.dimensions, self.temperature, self.memory)
        return PairsAndContrast(contrast, self.contrast)
