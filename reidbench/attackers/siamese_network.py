"""One network for both images of a pair, the head that compares them, and how well they do on pairs held out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from reidbench.attackers.base import Fixed
from reidbench.attackers.heads import PairHead
from reidbench.networks.architectures.siamese import embed_images
from reidbench.networks.augment import moved

#: Validation takes whole patients up to about this many images: all their pairs are half a million.
VAL_IMAGES = 1000


class Siamese(nn.Module):
    """One network for both images of a pair, and the head that compares them.

    At test time an image is also seen moved up, down, left and right by ``test_shift`` of its size, and the directions
    of the five embeddings are averaged.
    """

    def __init__(self, network: nn.Module, head: PairHead, *, test_shift: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self._test_shift = test_shift

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to vectors (B, D)."""
        if self.training or not self._test_shift:
            return self.head.vectors(self.network(images))
        pixels = max(1, round(self._test_shift * images.shape[-1]))
        directions = [functional.normalize(self.network(view)) for view in (images, *moved(images, pixels))]
        return self.head.vectors(torch.stack(directions).mean(dim=0))

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """Within it, an image is seen as it is alone."""
        shift, self._test_shift = self._test_shift, 0.0
        try:
            yield
        finally:
            self._test_shift = shift


@dataclass(frozen=True)
class Batch:
    """Embeddings of a batch on both sides; no image is on both.

    Attributes:
        probe, gallery: (B, D) and (B', D).
        probe_patients, gallery_patients: (B,) and (B',) int64.
    """

    probe: torch.Tensor
    gallery: torch.Tensor
    probe_patients: torch.Tensor
    gallery_patients: torch.Tensor


class Objective(Protocol):
    """A loss over the pairs of a batch."""

    def __call__(self, head: PairHead, batch: Batch) -> tuple[torch.Tensor, float]:
        """The loss, and what it would be were all vectors equal, so that no pair could be told from another."""
        ...


def validation_auc(model: Siamese, val: Fixed, device: torch.device) -> float | None:
    """AUC over all pairs of different images; None where there is no genuine or no impostor pair.

    Of many images it takes a part, and each is seen once, as it is, without moved copies.
    """
    val = part_of(val)
    with model.unmoved():
        gallery = torch.from_numpy(embed_images(model, val.gallery, device=device))
        probe = gallery
        if not np.array_equal(val.probe, val.gallery):
            probe = torch.from_numpy(embed_images(model, val.probe, device=device))
    with torch.no_grad():
        scores = model.head.block(probe.to(device), gallery.to(device)).cpu().numpy()
    same = val.patients[:, None] == val.patients[None]
    counted = ~np.eye(len(same), dtype=bool)
    genuine = same[counted]
    return float(roc_auc_score(genuine, scores[counted])) if 0 < genuine.sum() < len(genuine) else None


def part_of(val: Fixed) -> Fixed:
    """All of few validation images; of many, those of the first patients."""
    if len(val.patients) <= VAL_IMAGES:
        return val
    patients, counts = np.unique(val.patients, return_counts=True)
    rows = np.flatnonzero(np.isin(val.patients, patients[np.cumsum(counts) <= VAL_IMAGES]))
    return Fixed(val.patients[rows], val.probe[rows], val.gallery[rows])
