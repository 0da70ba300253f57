"""The plainest training: one network, one loss, Adam. What needs more writes a LightningModule for ``trainer.run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reidbench.progress import Progress

if TYPE_CHECKING:
    from reidbench.networks.simple_learner import Loss


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
    # Lightning takes seconds to import: only where there is something to train.
    from reidbench.networks import trainer
    from reidbench.networks.simple_learner import SimpleLearner

    steps = max(1, round(len(pixels) / batch_size))
    return trainer.run(
        SimpleLearner(network, loss, pixels, steps, lr, seed),
        epochs=epochs,
        steps=steps,
        seed=seed,
        identity={"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "images": pixels.shape},
        device=device,
        work_dir=work_dir,
        progress=progress,
    )
