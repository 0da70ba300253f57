"""The network that maps an image to a vector, and how images go through it at test time."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from reidbench.images import BATCH, map_images
from reidbench.networks.architectures.backbones import build_backbone


class EmbeddingNet(nn.Module):
    """A backbone, a ``grid`` × ``grid`` average pooling, and a linear map of the flattened grid to a vector.

    Keeping the grid instead of averaging over all of it keeps *where* a structure is: radiographs of a chest are
    nearly registered, so that place tells patients apart (docs/attackers.md has the figures). ``front`` changes images
    (B, 1, H, W) before the backbone sees them.
    """

    def __init__(
        self,
        backbone: str,
        *,
        weights: str = "random",
        dimensions: int = 128,
        grid: int = 8,
        dropout: float = 0.0,
        front: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.front = front
        self.backbone = build_backbone(backbone, weights)
        features = self.backbone.channels * grid * grid
        self.head = nn.Sequential(
            GridPool(grid),
            nn.Flatten(),
            nn.BatchNorm1d(features),
            nn.Dropout(dropout),
            nn.Linear(features, dimensions),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, dimensions)."""
        seen = images if self.front is None else self.front(images)
        vectors: torch.Tensor = self.head(self.backbone(seen))
        return vectors


class GridPool(nn.Module):
    """Means of ``cells`` × ``cells`` parts of a map: (B, C, H, W) to (B, C, cells, cells).

    On a GPU, where a map divides evenly, by a sum in a fixed order: the gradients of adaptive pooling are added up
    there in whatever order they come, and two equal trainings end apart.
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The means."""
        height, width = features.shape[-2:]
        if not self.training and height == width == self.cells:
            # Means of one number each. In training the pooling gives its gradients the order in memory of its maps.
            return features
        if features.device.type == "cpu" or height % self.cells or width % self.cells:
            return functional.adaptive_avg_pool2d(features, self.cells)
        return even_cells(features, self.cells)


def even_cells(features: torch.Tensor, cells: int) -> torch.Tensor:
    """The means of a map (B, C, H, W) whose sides ``cells`` divides."""
    return features.unflatten(3, (cells, -1)).unflatten(2, (cells, -1)).mean(dim=(3, 5))


class Resized(nn.Module):
    """A network that sees images of one size, whatever size they have."""

    def __init__(self, network: nn.Module, size: int | None) -> None:
        super().__init__()
        self.network = network
        self._size = size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to what the network makes of them."""
        vectors: torch.Tensor = self.network(resize(images, self._size))
        return vectors


def resize(images: torch.Tensor, size: int | None) -> torch.Tensor:
    """(B, 1, H, W) to (B, 1, size, size), bilinear and without aliasing; as they are where no size is given."""
    if size is None or images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def embed_images(
    network: nn.Module,
    images: NDArray[np.uint8],
    *,
    device: torch.device,
    batch_size: int = BATCH,
    dtype: torch.dtype | None = None,
) -> NDArray[np.float32]:
    """Maps images (N, H, W) uint8 to vectors (N, D) in evaluation mode.

    Identical images get identical vectors to the last bit, wherever they stand: each different image is mapped once.
    Batches are filled up to one fixed size, so that N decides no kernel.

    Args:
        dtype: of 16 bits, for convolutions and products; None for single precision throughout.
    """
    rows, copies = _distinct(images)
    network = network.to(device).eval()
    if device.type == "cuda":
        # The order in which its convolutions are fastest.
        network = network.to(memory_format=torch.channels_last)

    def mapped(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            vectors: torch.Tensor = network(batch)
        return vectors.float()

    found: NDArray[np.float32] = map_images(mapped, images, device=device, batch_size=batch_size, rows=rows)
    return found[copies]


def _distinct(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # The row of each different image's first appearance, and for each image the position of its own in that list.
    seen: dict[bytes, int] = {}
    rows: list[int] = []
    copies = np.empty(len(images), dtype=np.int64)
    for row, image in enumerate(images):
        key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        if key not in seen:
            seen[key] = len(rows)
            rows.append(row)
        copies[row] = seen[key]
    return np.array(rows, dtype=np.int64), copies
