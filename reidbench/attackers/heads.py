"""Heads: from a network's embeddings to the vectors that are kept, and from vectors to scores of pairs."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

#: Minus the sum of the first weights of :class:`ScaledDifference`: puts unrelated images at a logit of about -3.
START = 20.0


class PairHead(nn.Module):
    """What compares two images of which a network has made an embedding each.

    A subclass defines :meth:`vectors` and :meth:`block`; :meth:`pairs` follows from :meth:`block`, one pair at a time,
    and is worth defining where rows can be compared at once.
    """

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, D) as the network gives them to the vectors (B, D') that :meth:`block` compares."""
        raise NotImplementedError

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Scores of each of (Q, D') against each of (G, D'): (Q, G), higher = more likely one patient."""
        raise NotImplementedError

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Scores of (P, D') against (P, D'), row by row: (P,), equal to those of :meth:`block`."""
        rows = [self.block(one[None], other[None])[0] for one, other in zip(a, b)]
        return torch.cat(rows) if rows else a.new_empty(0)

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """P(same patient) of scores, in [0, 1], same shape; NaN throughout for a head that only ranks."""
        return np.full_like(scores, np.nan)


class NormalizedDistance(PairHead):
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


class SigmoidDifference(PairHead):
    """Logit of "one patient": a linear map of |σ(z₁) − σ(z₂)| (Packhäuser et al. 2022)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dimensions, 1)

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """σ(z), (B, D)."""
        return torch.sigmoid(embeddings)

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits of all pairs, without a (Q, G, D) array: w·|a − b| is an L1 distance for each sign of w."""
        weight = self.linear.weight[0]
        up, down = (_weighted(a, b, sign * weight) for sign in (1, -1))
        return up - down + self.linear.bias

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Logits, row by row."""
        logits: torch.Tensor = self.linear((a - b).abs())[:, 0]
        return logits

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of the logit: P(same) where genuine and impostor pairs are equally frequent."""
        return logistic(scores)


def _weighted(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sums of the positive ones of these weights times |a − b|, (Q, G)."""
    weight = weight.clamp(min=0)
    if not torch.is_grad_enabled():
        # Mostly all weights have one sign: the other sum takes no time then.
        (counted,) = weight.nonzero(as_tuple=True)
        a, b, weight = a[:, counted], b[:, counted], weight[counted]
    return torch.cdist(a * weight, b * weight, p=1)


class ScaledDifference(SigmoidDifference):
    """Logit of "one patient": a linear map of |σ(z₁) − σ(z₂)| of embeddings of one length.

    The embeddings are first brought to one length, learnt, that keeps the sigmoid off its flat ends. Without it an
    image with a long embedding is far from every other, which costs the AUC over all pairs more than anything else
    here (docs/attackers.md has the figures).
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions)
        self.log_scale = nn.Parameter(torch.tensor(math.log(dimensions) / 2))
        # Near in every dimension is more likely one patient: a start that spares the head from finding out.
        nn.init.constant_(self.linear.weight, -START / dimensions)
        nn.init.constant_(self.linear.bias, 2.0)

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """σ(s z / ‖z‖), (B, D)."""
        return torch.sigmoid(self.log_scale.exp() * functional.normalize(embeddings))


def logistic(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """σ(scores) in float32, same shape: probabilities of logits."""
    return torch.sigmoid(torch.from_numpy(np.asarray(scores, dtype=np.float32))).numpy()
