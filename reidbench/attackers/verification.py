"""The verification attacker: are these two images of one patient?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from reidbench.attackers.learner import Batch, PairHead
from reidbench.attackers.siamese import SiameseAttacker
from reidbench.plugins import hookimpl


class DifferenceHead(PairHead):
    """Logit of "one patient": a linear map of |σ(z₁) − σ(z₂)| (Packhäuser et al. 2022).

    The embeddings are normalized over the batch before the sigmoid, so that it doesn't saturate from the first step.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dimensions)
        self.linear = nn.Linear(dimensions, 1)
        # Near in every dimension is more likely one patient: a start that spares the head from finding out.
        nn.init.constant_(self.linear.weight, -10 / dimensions)
        nn.init.constant_(self.linear.bias, 2.0)

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """σ(z), (B, D)."""
        return torch.sigmoid(self.norm(embeddings))

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits of all pairs, without a (Q, G, D) array: w·|a − b| is an L1 distance for each sign of w."""
        weight = self.linear.weight[0]
        up, down = weight.clamp(min=0), (-weight).clamp(min=0)
        return torch.cdist(a * up, b * up, p=1) - torch.cdist(a * down, b * down, p=1) + self.linear.bias

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits, row by row."""
        logits: torch.Tensor = self.linear((a - b).abs())[:, 0]
        return logits


class BalancedPairs(nn.Module):
    """Binary cross-entropy over all pairs of a probe and a gallery image; genuine pairs weigh as much as impostors."""

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The loss, and ln 2."""
        logits = head.block(batch.probe, batch.gallery)
        same = batch.probe_patients[:, None] == batch.gallery_patients[None]
        genuine, impostor = functional.softplus(-logits[same]), functional.softplus(logits[~same])
        return (genuine.mean() + impostor.mean()) / 2, math.log(2)


class Verification(SiameseAttacker):
    """A siamese network that answers with the probability that two images are of one patient.

    All pairs of a batch of patients are trained on, in place of a fixed list of pairs.
    """

    name = "verification"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}}

    def head(self) -> PairHead:
        """|σ(z₁) − σ(z₂)|, linear."""
        return DifferenceHead(self.dimensions)

    def objective(self) -> nn.Module:
        """Balanced binary cross-entropy."""
        return BalancedPairs()

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of the logit: P(same) where genuine and impostor pairs are equally frequent."""
        return torch.sigmoid(torch.from_numpy(np.asarray(scores, dtype=np.float32))).numpy()


@hookimpl
def reidbench_attackers() -> list[type]:
    """The attacker of this module."""
    return [Verification]
