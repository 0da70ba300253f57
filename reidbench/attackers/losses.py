"""Losses over the pairs of a probe image and a gallery image in a batch."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from pytorch_metric_learning.losses import ArcFaceLoss, CrossBatchMemory, SupConLoss
from torch import nn
from torch.nn import functional

from reidbench.attackers.heads import PairHead
from reidbench.attackers.siamese_network import Batch

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


class AdaCos(nn.Module):
    """Softmax over the cosines between embeddings and learnt centres of classes, with a scale that sets itself.

    The scale of each step follows from the batch: from how much probability the wrong classes take, and from the median
    angle to the right one (Zhang et al. 2019, AdaCos, its dynamic form). So there is no scale and no margin to choose.
    """

    scale: torch.Tensor

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dimensions)))
        # In every checkpoint: a step's scale follows from that of the step before.
        self.register_buffer("scale", torch.tensor(math.sqrt(2) * math.log(max(classes - 1, 2))))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy of embeddings (B, D) of classes (B,), a scalar."""
        cosines = functional.normalize(embeddings) @ functional.normalize(self.centres).T
        with torch.no_grad():
            right = functional.one_hot(labels, len(self.centres)).bool()
            others = (self.scale * cosines).masked_fill(right, -torch.inf)
            taken = torch.logsumexp(others.flatten(), dim=0) - math.log(len(labels))
            angle = torch.acos(cosines[right].clamp(-1, 1)).median().clamp(max=math.pi / 4)
            # Of a handful of classes the others' share can fall below one, and its logarithm below zero.
            self.scale.copy_((taken / angle.cos()).clamp(min=1.0))
        return functional.cross_entropy(self.scale * cosines, labels)

    @property
    def uninformed(self) -> float:
        """The least that it can be where all embeddings are equal."""
        return math.log(len(self.centres))


class ArcFace(nn.Module):
    """Softmax over cosines, with an angular margin that the right class must keep (Deng et al. 2019)."""

    def __init__(self, classes: int, dimensions: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.loss = ArcFaceLoss(classes, dimensions, margin=math.degrees(margin), scale=scale)
        #: The least that it can be where all embeddings are equal: all centres lie on them, and the margin still costs.
        self.uninformed = math.log1p((classes - 1) * math.exp(scale * (1 - math.cos(margin))))

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy of embeddings (B, D) of classes (B,), a scalar."""
        loss: torch.Tensor = self.loss(embeddings, labels)
        return loss


class WithClasses(nn.Module):
    """An objective over pairs, with a loss beside it that takes every patient of the training for a class.

    The centres of the classes are trained with the network, belong to the loss, and are in no weights file.
    """

    def __init__(self, objective: nn.Module, classes: AdaCos | ArcFace, weight: float) -> None:
        super().__init__()
        self.pairs = objective
        self.classes = classes
        self.weight = weight

    def forward(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The weighted sum of both, and of both uninformed losses."""
        loss, uninformed = self.pairs(head, batch)
        embeddings = torch.cat([batch.probe, batch.gallery])
        labels = torch.cat([batch.probe_patients, batch.gallery_patients])
        return loss + self.weight * self.classes(embeddings, labels), uninformed + self.weight * self.classes.uninformed
