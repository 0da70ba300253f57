"""The verification attacker: are these two images of one patient?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional

from reidbench.attackers.base import Attacker
from reidbench.attackers.lightning_module import PairHead
from reidbench.attackers.losses import Contrast, PairsAndContrast
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.attackers.siamese import QUICK, STANDARD, SiameseAttacker

#: Minus the sum of the head's first weights: puts unrelated images at a logit of about -3.
START = 20.0


class DifferenceHead(PairHead):
    """Logit of "one patient": a linear map of |σ(z₁) − σ(z₂)| (Packhäuser et al. 2022).

    The embeddings are first brought to one length, learnt, that keeps the sigmoid off its flat ends. Without it an
    image with a long embedding is far from every other, which costs the AUC over all pairs more than anything else
    here (docs/attackers.md has the figures).
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(dimensions) / 2))
        self.linear = nn.Linear(dimensions, 1)
        # Near in every dimension is more likely one patient: a start that spares the head from finding out.
        nn.init.constant_(self.linear.weight, -START / dimensions)
        nn.init.constant_(self.linear.bias, 2.0)

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """σ(s z / ‖z‖), (B, D)."""
        return torch.sigmoid(self.log_scale.exp() * functional.normalize(embeddings))

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits of all pairs, without a (Q, G, D) array: w·|a − b| is an L1 distance for each sign of w."""
        weight = self.linear.weight[0]
        up, down = weight.clamp(min=0), (-weight).clamp(min=0)
        return torch.cdist(a * up, b * up, p=1) - torch.cdist(a * down, b * down, p=1) + self.linear.bias

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits, row by row."""
        logits: torch.Tensor = self.linear((a - b).abs())[:, 0]
        return logits


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
        return DifferenceHead(self.dimensions)

    def objective(self) -> nn.Module:
        """Balanced binary cross-entropy, and contrast."""
        contrast = Contrast(self.dimensions, self.temperature, self.memory)
        return PairsAndContrast(contrast, self.contrast)

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of the logit: P(same) where genuine and impostor pairs are equally frequent."""
        return torch.sigmoid(torch.from_numpy(np.asarray(scores, dtype=np.float32))).numpy()
