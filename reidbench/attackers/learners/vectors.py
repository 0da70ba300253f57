"""How a head on published vectors is trained."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from reidbench.attackers.losses import PairsAndContrast
from reidbench.attackers.siamese_network import Batch, Siamese
from reidbench.networks.samplers import PatientBatches, Sides
from reidbench.networks.training import Length, load_in_order, optimizer


class VectorLearner(lightning.LightningModule):
    """Trains the head on all pairs of a batch of patients, as the verification attacker trains its network."""

    def __init__(
        self,
        model: Siamese,
        vectors: NDArray[np.float32],
        patients: NDArray[np.int64],
        *,
        objective: PairsAndContrast,
        batches: PatientBatches,
        lr: float,
        weight_decay: float,
        length: Length,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self._vectors = torch.from_numpy(np.ascontiguousarray(vectors))
        self._patients = torch.from_numpy(patients.copy())
        self._batches = batches
        self._lr = lr
        self._weight_decay = weight_decay
        self._length = length

    def train_dataloader(self) -> DataLoader[Sides]:
        """The batches of the coming epoch."""
        batches: Any = self._batches.epoch(self.current_epoch, self._length.steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """AdamW and 1cycle over all steps."""
        adamw, schedule = optimizer(
            list(self.model.named_parameters()),
            lr=self._lr,
            weight_decay=self._weight_decay,
            total_steps=self._length.total,
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, index: Sides, number: int) -> torch.Tensor:
        """The loss of one batch."""
        rows = [torch.from_numpy(side) for side in index]
        mapped = self.model.network(self._vectors[torch.cat(rows)].to(self.device))
        probe, gallery = mapped.split([len(side) for side in rows])
        patients = [self._patients[side].to(self.device) for side in rows]
        loss, uninformed = self.objective(self.model.head, Batch(probe, gallery, patients[0], patients[1]))
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        self.log("uninformed_loss", uninformed, on_epoch=True, on_step=False, batch_size=1)
        return loss
