"""The diagnostic network that the model defenses publish, and how it sees a patient in training."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from reidbench import LabelledImages, PublishedNetwork, masked_cross_entropy, to_unit

#: Added to an image's standard deviation: a constant image becomes zeros.
FLAT = 0.02
#: Cells a side that the last map is averaged to, so that place is kept.
GRID = 4
#: Channels that are normalized together.
GROUPS = 4


class Block(nn.Module):
    """Two 3×3 convolutions that halve the map, beside a shortcut that averages and projects.

    Group norm knows only its own image, where batch norm would mix patients; nothing works in place, which the hooks
    for each patient's gradient would not survive.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) to (B, outputs, ⌈H / 2⌉, ⌈W / 2⌉)."""
        branch = torch.relu(self.norm1(self.first(images)))
        return torch.relu(self.norm2(self.second(branch)) + self.shortcut(images))


class DiagnosticNetwork(PublishedNetwork):
    """A small residual network: a stem, two blocks, a grid of averages (the vector), and a linear map to the findings.

    The noise of a private training grows with the number of weights: 7,000 of them at width 8 is what some hundred
    patients can bear. Nothing in it comes from the data before training: each image is normalized by its own mean and
    deviation, and the findings' frequencies are learnt with the rest.

    Args:
        width: channels of the stem; the last block has twice as many.
        side: images are averaged down to this width and height.
    """

    def __init__(self, findings: int, *, width: int, side: int) -> None:
        super().__init__()
        self._side = side
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2, bias=False),
            nn.GroupNorm(GROUPS, width),
            nn.ReLU(),
            Block(width, width),
            Block(width, 2 * width),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * width * GRID * GRID, findings)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the grid of averages, (B, 32 · width)."""
        small = functional.interpolate(images, (self._side, self._side), mode="area")
        deviation, mean = torch.std_mean(small, dim=(1, 2, 3), keepdim=True, correction=0)
        vectors: torch.Tensor = self.features((small - mean) / (deviation + FLAT))
        return vectors

    def classify(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, D) to logits (B, findings)."""
        logits: torch.Tensor = self.head(vectors)
        return logits


class PatientImages(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Patients, each of whom is one of their images, drawn anew whenever they are asked for.

    So a patient is one record of the data, whatever the number of their images, and a guarantee for a record is one
    for the patient.

    Args:
        generator: draws the images.
    """

    def __init__(self, train: LabelledImages, generator: torch.Generator) -> None:
        self._pixels = train.pixels
        self._findings = torch.from_numpy(train.findings.astype(np.float32))
        self._generator = generator
        patients = torch.from_numpy(train.patients.copy())
        self._rows = [torch.nonzero(patients == patient)[:, 0] for patient in patients.unique()]

    def __len__(self) -> int:
        """Patients."""
        return len(self._rows)

    def __getitem__(self, patient: int) -> tuple[torch.Tensor, torch.Tensor]:
        """An image (1, H, W) in [0, 1], and its findings (L,), NaN where unknown."""
        rows = self._rows[patient]
        row = int(rows[torch.randint(len(rows), (1,), generator=self._generator)])
        return to_unit(self._pixels[row : row + 1])[0], self._findings[row]


def patient_losses(logits: torch.Tensor, findings: torch.Tensor) -> torch.Tensor:
    """Each patient's binary cross-entropy, (B,): the mean over that patient's known findings, 0 where none is known.

    No patient has a say in another's loss: nothing is averaged, paired or contrasted over the batch.
    """
    return masked_cross_entropy(logits, findings, dim=1)


def moved(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images (B, 1, H, W) shifted by up to 5 % and scaled by up to 8 %, each by draws of its own."""
    draws = 2 * torch.rand(len(images), 3, generator=generator) - 1
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + 0.08 * draws[:, 0]
    theta[:, :, 2] = 0.1 * draws[:, 1:]  # The grid is two wide.
    grid = functional.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
