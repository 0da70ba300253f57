"""The plainest training: one network, one loss, Adam. What needs more writes a LightningModule for ``training.run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from reidbench.images import to_unit
from reidbench.networks import training
from reidbench.progress import Progress

#: Takes images (B, 1, H, W) in [0, 1] and their row numbers (B,), gives the loss.
Loss = Callable[[torch.Tensor, NDArray[np.int64]], torch.Tensor]


class _Learner(lightning.LightningModule):
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
        order = np.random.default_rng([self._seed, self.current_epoch]).permutation(len(self._pixels))
        batches: Any = np.array_split(order, self._steps)
        return training.load_in_order(batches)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self._lr)

    def training_step(self, rows: NDArray[np.int64], number: int) -> torch.Tensor:
        images = to_unit(self._pixels[rows], self.device)
        loss = self._loss(images, rows)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        return loss


def learn(
    network: nn.Module,
    loss: Loss,
    pixels: NDArray[np.uint8],
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    work_dir: Path,
    batch_size: int = 32,
    lr: float = 1e-3,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Trains a network by Adam, in place: seeded, and gone on with after a kill.

    Args:
        loss: of a batch; it calls ``network``, and draws, if it must, from torch's global generator.
        pixels: (N, H, W) uint8.
        epochs: passes over the images.
        batch_size: images a step, nearly: a pass is cut into even batches.
        work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.

    Returns:
        One row per epoch: ``epoch`` (from 1), ``seconds`` and ``train_loss``.
    """
    steps = max(1, round(len(pixels) / batch_size))
    return training.run(
        _Learner(network, loss, pixels, steps, lr, seed),
        epochs=epochs,
        steps=steps,
        seed=seed,
        identity={"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "images": pixels.shape},
        device=device,
        work_dir=work_dir,
        progress=progress,
    )
