"""How a diagnostic classifier is trained."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from reidbench.images import to_unit
from reidbench.networks.augment import Augmentation
from reidbench.networks.losses import masked_cross_entropy
from reidbench.networks.training import Length, load_in_order, optimizer, seed_of


class DiagnosisLearner(lightning.LightningModule):
    """Multi-label classification with unknown labels (NaN) left out of the loss."""

    def __init__(
        self,
        network: nn.Module,
        pixels: NDArray[np.uint8],
        labels: torch.Tensor,
        *,
        batch_size: int,
        lr: float,
        weight_decay: float,
        augmentation: Augmentation,
        mirror: bool,
        length: Length,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self._pixels = pixels
        self._labels = labels
        self._batch_size = batch_size
        self._lr = lr
        self._weight_decay = weight_decay
        self._mirror = mirror
        self._length = length
        self._seed = seed
        self._augmentation = augmentation

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of row numbers; an epoch is cut from random orders laid end to end."""
        rng = np.random.default_rng([self._seed, self.current_epoch])
        wanted = self._length.steps * self._batch_size
        rounds = -(-wanted // len(self._pixels))
        order = np.concatenate([rng.permutation(len(self._pixels)) for _ in range(rounds)])[:wanted]
        batches: Any = np.array_split(order, self._length.steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """AdamW and 1cycle over all steps."""
        adamw, schedule = optimizer(
            list(self.network.named_parameters()),
            lr=self._lr,
            weight_decay=self._weight_decay,
            total_steps=self._length.total,
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, index: NDArray[np.int64], number: int) -> torch.Tensor:
        """The loss of one batch; its draws follow from (seed, step)."""
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(self._seed, "step", self.global_step))
        images = to_unit(self._pixels[index], self.device)
        if self._mirror:
            chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=self.device) < 0.5
            images = torch.where(chosen, images.flip(-1), images)
        labels = self._labels[torch.from_numpy(index)].to(self.device)
        loss = masked_cross_entropy(self.network(self._augmentation(images, generator)).float(), labels)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        return loss
