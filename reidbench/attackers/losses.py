"""Losses over the pairs of a probe image and a gallery image in a batch."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from pytorch_metric_learning.losses import CrossBatchMemory, SupConLoss
from torch import nn
from torch.nn import functional

from reidbench.attackers.heads import PairHead
from reidbench.attackers.lightning_module import Batch

#: Embeddings (B, D) and their patients (B,).
_Labelled = tuple[torch.Tensor, torch.Tensor]


class BalancedPairs(nn.Module):
    """Binary cross-entropy of the head's logits over all pairs; genuine pairs weigh as much as impostors."""

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The loss, and ln 2."""
        logits = head.block(head.vectors(batch.probe), head.vectors(batch.gallery))
        same = batch.probe_patients[:, None] == batch.gallery_patients[None]
        genuine, impostor = functional.softplus(-logits[same]), functional.softplus(logits[~same])
        return (genuine.mean() + impostor.mean()) / 2, math.log(2)


class Memory(CrossBatchMemory):  # type: ignore[misc]
    """A cross-batch memory whose place survives a checkpoint."""

    def get_extra_state(self) -> dict[str, Any]:
        """Where the next embedding goes, and whether all places are taken."""
        return {"place": self.queue_idx, "filled": self.has_been_filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Puts back what :meth:`get_extra_state` gave."""
        self.queue_idx, self.has_been_filled = state["place"], state["filled"]

    @property
    def held(self) -> int:
        """How many embeddings are in it."""
        return int(self.memory_size if self.has_been_filled else self.queue_idx)


class Contrast(nn.Module):
    """Supervised contrastive loss (Khosla et al. 2020) of the embeddings' cosines.

    An image is compared with all others of its batch, on either side. With ``memory`` it is compared with the other
    side alone, and with as many embeddings of that side from the last batches (Wang et al. 2020).
    """

    def __init__(self, dimensions: int, temperature: float, memory: int = 0) -> None:
        super().__init__()
        self.loss = SupConLoss(temperature)
        self.memories = nn.ModuleList(Memory(self.loss, dimensions, memory) for _ in range(2 if memory else 0))

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The loss, and the log of how many images each is compared with."""
        probe, gallery = (batch.probe, batch.probe_patients), (batch.gallery, batch.gallery_patients)
        if not self.memories:
            vectors, patients = torch.cat([probe[0], gallery[0]]), torch.cat([probe[1], gallery[1]])
            return self.loss(vectors, patients), math.log(len(vectors) - 1)
        there, compared = self._against(0, probe, gallery)
        back, compared_back = self._against(1, gallery, probe)
        return (there + back) / 2, (math.log(compared) + math.log(compared_back)) / 2

    def _against(self, side: int, anchors: _Labelled, others: _Labelled) -> tuple[torch.Tensor, int]:
        # The loss of each anchor against the other side and its memory, and how many images that was.
        memory = cast(Memory, self.memories[side])
        vectors, patients = torch.cat([anchors[0], others[0]]), torch.cat([anchors[1], others[1]])
        enqueued = torch.arange(len(vectors), device=vectors.device) >= len(anchors[0])
        return memory(vectors, patients, enqueue_mask=enqueued), memory.held


class PairsAndContrast(nn.Module):
    """The cross-entropy over pairs, which trains the head, with the contrastive loss, which trains the embedding."""

    def __init__(self, contrast: Contrast, weight: float) -> None:
        super().__init__()
        self.pairs = BalancedPairs()
        self.contrast = contrast
        self.weight = weight

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The weighted sum of both, and of both uninformed losses."""
        (pairs, no_pairs), (contrast, no_contrast) = self.pairs(head, batch), self.contrast(head, batch)
        return pairs + self.weight * contrast, no_pairs + self.weight * no_contrast
