"""How a restoration network is trained: released images to their originals."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader

from reidbench.attackers.base import Scenario
from reidbench.networks.architectures.restorer import Restorer
from reidbench.networks.training import Length, load_in_order, optimizer, seed_of


class RestorerLearner(lightning.LightningModule):
    """Released images to their originals, by mean absolute error."""

    def __init__(
        self, network: Restorer, train: Scenario, *, batch_size: int, lr: float, length: Length, seed: int
    ) -> None:
        super().__init__()
        self.network = network
        self._train = train
        self._batch_size = batch_size
        self._lr = lr
        self._length = length
        self._seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of row numbers; an epoch is cut from random orders laid end to end."""
        rng = np.random.default_rng([self._seed, self.current_epoch])
        images, wanted = len(self._train.patients), self._length.steps * self._batch_size
        order = np.concatenate([rng.permutation(images) for _ in range(-(-wanted // images))])[:wanted]
        batches: Any = np.array_split(order, self._length.steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """AdamW and 1cycle over all steps."""
        adamw, schedule = optimizer(
            list(self.network.named_parameters()), lr=self._lr, weight_decay=0.0, total_steps=self._length.total
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, index: NDArray[np.int64], number: int) -> torch.Tensor:
        """The loss of one batch; its draws follow from (seed, step)."""
        seeds = (seed_of(self._seed, side, self.global_step) for side in ("probe", "gallery"))
        original, released = (
            side(index, generator=torch.Generator().manual_seed(seed), device=self.device)
            for side, seed in zip((self._train.probe, self._train.gallery), seeds)
        )
        loss = functional.l1_loss(self.network(released).float(), original)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        self.log("unrestored_loss", functional.l1_loss(released, original), on_epoch=True, on_step=False, batch_size=1)
        return loss
