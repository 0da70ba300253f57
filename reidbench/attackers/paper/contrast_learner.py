"""How the paper's retrieval is trained: by a contrastive loss with a memory, on blocks of patients' images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import torch
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import nn
from torch.utils.data import DataLoader

from reidbench.attackers.base import Scenario
from reidbench.attackers.losses import Memory
from reidbench.attackers.paper.blocks import BlockBatches
from reidbench.attackers.paper.cycle import sgd_1cycle
from reidbench.attackers.paper.jitter import jitter
from reidbench.attackers.paper.patients import Rows
from reidbench.attackers.siamese_network import Siamese
from reidbench.networks.architectures.siamese import resize
from reidbench.networks.precision import in_full
from reidbench.networks.training import load_in_order, seed_of, side_generator

#: The contrastive loss of equal vectors: genuine pairs cost nothing, impostors the margin.
MARGIN = 1.0


class ContrastLearner(lightning.LightningModule):
    """Trains on blocks of patients' images, each image in one view: every other one of a block as it is published."""

    def __init__(
        self,
        model: Siamese,
        scenario: Scenario,
        batches: BlockBatches,
        *,
        frozen: bool,
        dimensions: int,
        memory: int,
        size: int | None,
        color_jitter: float,
        weight_decay: float,
        steps: int,
        peak: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = Memory(contrastive(), dimensions, memory)
        self._scenario = scenario
        self._batches = batches
        self._frozen = frozen
        self._size = size
        self._jitter = color_jitter
        self._weight_decay = weight_decay
        self.steps = steps
        self._peak = peak
        self._seed = seed
        # Its weights alone: the statistics of its batch norms still move, as in the paper.
        for parameter in model.network.backbone.parameters():  # type: ignore[union-attr]
            parameter.requires_grad_(not frozen)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of row numbers."""
        batches: Any = self._batches.epoch(self.current_epoch)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """SGD and 1cycle over all steps of the phase."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        sgd, schedule = sgd_1cycle(trained, peak=self._peak, l2=self._weight_decay, steps=self.steps)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, rows: Rows, number: int) -> torch.Tensor:
        """The loss of one batch. All its draws follow from (seed, step), so that a resumed training repeats them."""
        images = jitter(self._views(rows), self._jitter, self._generator("jitter", self.device))
        vectors = self.model.network(images).float()
        patients = torch.from_numpy(self._scenario.patients[rows]).to(self.device)
        with in_full(self.device):
            loss: torch.Tensor = self.objective(vectors, patients)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(rows))
        self.log("uninformed_loss", MARGIN, on_epoch=True, on_step=False, batch_size=len(rows))
        self.log("images", float(len(rows)), on_epoch=True, on_step=False, reduce_fx="sum")
        self.log("peak_lr", self._peak, on_epoch=True, on_step=False, batch_size=len(rows))
        return loss

    def _views(self, rows: Rows) -> torch.Tensor:
        # Every other image is a probe: a patient with two or more images in the batch is seen on both sides.
        scenario = self._scenario
        parts: list[tuple[str, Callable[..., torch.Tensor], Rows]] = [
            ("probe", scenario.probe, rows[0::2]),
            ("gallery", scenario.gallery, rows[1::2]),
        ]
        probe, gallery = (
            resize(
                side(part, generator=side_generator(self._seed, name, self.global_step), device=self.device),
                self._size,
            )
            for name, side, part in parts
        )
        images = probe.new_empty((len(rows), *probe.shape[1:]))
        images[0::2], images[1::2] = probe, gallery
        return images

    def _generator(self, what: str, device: torch.device | None = None) -> torch.Generator:
        return torch.Generator(device or "cpu").manual_seed(seed_of(self._seed, what, self.global_step))


def contrastive() -> nn.Module:
    """Contrastive loss of Euclidean distances of normalized vectors, margin 1 (Hadsell et al. 2006, not squared).

    Genuine pairs cost their distance d, impostor pairs max(0, 1 − d); each kind is averaged over its pairs that cost
    anything, and both means are added.
    """
    loss: nn.Module = ContrastiveLoss(pos_margin=0, neg_margin=MARGIN)
    return loss
