"""A small perturbation towards another patient."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from reidbench import (
    EmbeddingNet,
    Field,
    FitData,
    FittedDefense,
    History,
    ReleaseRandom,
    embed_images,
    learn,
    masked_cross_entropy,
    to_unit,
)
from reidbench_plugins._identity import DIMENSIONS, IdentityNet, identity_loss, partners

#: Features of the classifier that are to stay.
FEATURES = 32


class Cloak(FittedDefense):
    """Moves an image, within a small bound for each pixel, to where another patient is for the defender's network.

    In the spirit of Fawkes (Shan, Wenger, Zhang, Li, Zheng and Zhao, "Fawkes: protecting privacy against unauthorized
    deep learning models", USENIX Security 2020): projected gradient descent (Madry et al., 2018) moves the vector of
    an image towards that of another patient, while a classifier of the findings keeps its features. Fawkes bounds the
    change by DSSIM; here no pixel changes by more than ``budget`` grey levels. Both networks learn from originals of
    the train split, and are the defender's own: no attacker that judges has their weights.

    For each image one of ``targets`` patients of the train split is drawn at random. An attacker that is trained on
    originals may be misled as the defender's network is; one that is trained on cloaked images learns to look past
    them, which Radiya-Dixit et al. (2022) showed for faces.

    budget = 0 changes nothing. No formal guarantee.
    """

    name = "cloak"
    family = "adversarial"
    differentiable = True
    operating_points = {
        "mild": {"budget": 2},
        "moderate": {"budget": 4},
        "strong": {"budget": 8},
        "severe": {"budget": 16},
    }
    budget: int = Field(8, ge=0, le=255, description="most that a pixel changes, in grey levels of 255")
    steps: int = Field(10, ge=1, le=1000, description="steps of the descent for each image")
    keep: float = Field(1.0, ge=0, le=1000, description="weight of keeping the classifier's features")
    targets: int = Field(32, ge=1, le=4096, description="patients of the train split to move towards")
    epochs: int = Field(8, ge=1, le=1000, description="passes of both networks over the train split")
    backbone: str = Field("resnet_small", description="of both networks: resnet_small, a torchvision name or timm:NAME")
    grid: int = Field(8, ge=1, le=16, description="cells a side that their feature maps are averaged into")

    def build(self) -> nn.Module:
        """The identity network, the classifier's features, and the vectors of the patients to move towards."""
        return Networks(self.backbone, self.grid, self.targets)

    def fit(
        self,
        network: nn.Module,
        data: FitData,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Any = None,
    ) -> History:
        """Trains both networks, and chooses the patients.

        Raises:
            ReidbenchError: no patient has two images, or there is only one patient.
        """
        assert isinstance(network, Networks)
        other = partners(data.patients)
        both = nn.ModuleList([network, nn.Linear(FEATURES, max(1, data.labels.shape[1]))])

        def loss(images: torch.Tensor, rows: Any) -> torch.Tensor:
            beside = other(rows)
            vectors = network.identity(torch.cat([images, to_unit(data.pixels[beside], images.device)]))
            total = identity_loss(*vectors.chunk(2), data.patients[rows], beside == rows)
            if data.labels.shape[1]:
                labels = torch.from_numpy(data.labels[rows]).to(images.device)
                total = total + masked_cross_entropy(both[1](network.classifier(images)), labels)
            return total

        history = learn(
            both, loss, data.pixels, epochs=self.epochs, seed=seed, device=device, work_dir=work_dir, progress=progress
        )
        # The first image of patients drawn in turn: fewer patients than targets are taken again.
        draws = torch.Generator().manual_seed(seed)
        _, first = np.unique(data.patients, return_index=True)
        chosen = [int(row) for row in first[torch.randperm(len(first), generator=draws).numpy()]]
        rows = np.array([chosen[number % len(chosen)] for number in range(self.targets)])
        vectors = embed_images(network.identity, data.pixels[rows], device=device)
        network.vectors.copy_(torch.from_numpy(vectors))
        return history

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Cloaks images: (B, 1, H, W)."""
        if not self.budget or not len(images):
            return images.clone()
        draws = rng.uniform(len(images), 1, 1, 1, device=images.device).expand_as(images)
        # The draw goes along as a second channel, since images go through one by one.
        return rng.each(torch.cat([images, draws], dim=1), self._cloaked)

    def _cloaked(self, images_and_draws: torch.Tensor) -> torch.Tensor:
        network = self.network
        assert isinstance(network, Networks)
        images, draws = images_and_draws[:, :1], images_and_draws[:, 1, 0, 0]
        target = network.vectors[(draws * self.targets).long()]
        features = network.classifier(images)
        bound, moved = self.budget / 255, torch.zeros_like(images)
        for _ in range(self.steps):
            with torch.enable_grad():
                moved.requires_grad_()
                seen = (images + moved).clamp(0, 1)
                towards = (network.identity(seen) - target).square().sum()
                kept = F.mse_loss(network.classifier(seen), features, reduction="sum") / FEATURES
                (slope,) = torch.autograd.grad(towards + self.keep * kept, moved)
            # Two and a half times the way to the bound in all, as Madry et al. take it.
            moved = (moved.detach() - 2.5 * bound / self.steps * slope.sign()).clamp(-bound, bound)
        return (images + moved).clamp(0, 1)


class Networks(nn.Module):
    """What a cloak is made with."""

    vectors: torch.Tensor

    def __init__(self, backbone: str, grid: int, targets: int) -> None:
        super().__init__()
        self.identity = IdentityNet(backbone, grid)
        self.classifier = EmbeddingNet(backbone, dimensions=FEATURES, grid=grid)
        self.register_buffer("vectors", torch.zeros(targets, DIMENSIONS))
