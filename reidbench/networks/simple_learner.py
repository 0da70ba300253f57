"""One network, one loss, Adam: what :func:`reidbench.learn` trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from reidbench.images import to_unit
from reidbench.networks.training import load_in_order

#: Takes images (B, 1, H, W) in [0, 1] and their row numbers (B,), gives the loss.
Loss = Callable[[torch.Tensor, NDArray[np.int64]], torch.Tensor]


class SimpleLearner(lightning.LightningModule):
    """Trains a network on batches of all images, in an order of each epoch's own."""

    def __init__(
        self, network: nn.Module, loss: Loss, pixels: NDArray[np.uint8], steps: int, lr: float, seed: int
    ) -> None:
        super().__init__()
        self.network = network
        self._loss = loss
        self._pixels = pixels
        self._steps = steps
        self._lr = lr
        self._seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of row numbers."""
        order = np.random.default_rng([self._seed, self.current_epoch]).permutation(len(self._pixels))
        batches: Any = np.array_split(order, self._steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        return torch.optim.Adam(self.network.parameters(), lr=self._lr)

    def training_step(self, rows: NDArray[np.int64], number: int) -> torch.Tensor:
        """The loss of one batch."""
        images = to_unit(self._pixels[rows], self.device)
        loss = self._loss(images, rows)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        return loss
