"""What is trained: batches drawn in the tested scenario, through the network, into an attacker's objective."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import lightning
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.siamese_network import Batch, Objective, Siamese, part_of, validation_auc
from reidbench.networks.augment import Augmentation
from reidbench.networks.distributed import gathered, processes, share
from reidbench.networks.precision import in_full
from reidbench.networks.samplers import PatientBatches, Sides
from reidbench.networks.training import Length, load_in_order, optimizer, seed_of, side_generator


@dataclass(frozen=True)
class MovingAverage:
    """An exponential moving average that forgets where it began: a ninth of the steps so far, ``decay`` at the most.

    A fixed decay of 0.999 would hold two thirds of the first weights after 400 steps, and a short training would leave
    an attacker that has learned a third of what it could.
    """

    decay: float

    @torch.no_grad()
    def __call__(self, averaged: nn.Module, current: nn.Module, done: int) -> None:
        """Moves the average towards the current weights, in place, after ``done`` steps that were averaged before.

        The step's number is the caller's, where torch's ``AveragedModel`` keeps it on the device: to ask for it there
        makes the CPU wait for the GPU at each step.
        """
        decay = min(self.decay, (1 + done) / (10 + done)) if done else 0.0
        pairs = list(zip(_tensors(averaged), _tensors(current)))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move([there for there, _ in moving], [here for _, here in moving], done)
        # Counts have no mean.
        for there, here in pairs:
            if not there.is_floating_point():
                there.copy_(here)


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


class Learner(lightning.LightningModule):
    """Trains a :class:`Siamese` in a scenario, on pairs of a probe view and a gallery view.

    After training, :attr:`result` is the network to keep.
    """

    def __init__(
        self,
        model: Siamese,
        objective: nn.Module,
        train: Scenario,
        val: Fixed | None,
        *,
        batches: PatientBatches,
        augmentation: Augmentation,
        length: Length,
        lr: float,
        weight_decay: float,
        average: float | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.averaged: Siamese | None = None
        self._move = MovingAverage(average) if average else None
        if average:
            # Several processes wait for the gradients of all weights that want one.
            self.averaged = copy.deepcopy(model).requires_grad_(False)
        self._scenario = train
        self._val = part_of(val) if val is not None else None
        self._batches = batches
        self._augmentation = augmentation
        self._length = length
        self._lr = lr
        self._weight_decay = weight_decay
        self._seed = seed

    @property
    def result(self) -> Siamese:
        """The trained network: the moving average of its weights, where one is kept."""
        return self.averaged if self.averaged is not None else self.model

    def train_dataloader(self) -> DataLoader[Sides]:
        """The batches of the coming epoch."""
        batches: Any = self._batches.epoch(self.current_epoch, self._length.steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """AdamW and 1cycle over all steps."""
        parameters = [*self.model.named_parameters(), *self.objective.named_parameters()]
        adamw, schedule = optimizer(
            parameters, lr=self._lr, weight_decay=self._weight_decay, total_steps=self._length.total
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, index: Sides, batch_number: int) -> torch.Tensor:
        """The loss of one batch. All its draws follow from (seed, step), so that a resumed training repeats them."""
        scenario, step = self._scenario, self.global_step
        rank, count = processes()
        # Draws of its own for each process, and the same as ever for a single one.
        own = (rank,) if rank else ()
        mine = [share(rows) for rows in index]
        views = [
            side(rows, generator=side_generator(self._seed, name, step, process=rank), device=self.device)
            for name, side, rows in zip(("probe", "gallery"), (scenario.probe, scenario.gallery), mine)
        ]
        # Drawn apart from the sides' own randomness: a side that draws nothing leaves the rest as it is.
        draws = _generator(self._seed, "augmentation", step, *own, device=self.device)
        images = self._augmentation(torch.cat(views), draws)
        probe, gallery = map(gathered, self.model.network(images).float().split([len(rows) for rows in mine]))
        patients = [gathered(torch.from_numpy(scenario.patients[rows]).to(self.device)) for rows in mine]
        batch = Batch(probe, gallery, patients[0], patients[1])
        with in_full(self.device):
            loss, uninformed = cast(Objective, self.objective)(self.model.head, batch)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        self.log("uninformed_loss", uninformed, on_epoch=True, on_step=False, batch_size=1)
        self.log("images", float(count * len(images)), on_epoch=True, on_step=False, reduce_fx="sum")
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        """Moves the average."""
        if self.averaged is not None and self._move is not None:
            self._move(self.averaged, self.model, self.global_step - 1)

    def on_train_epoch_end(self) -> None:
        """Validates at every fifth of the training."""
        epoch = self.current_epoch + 1
        if self._val is None or (epoch % max(1, self._length.epochs // 5) and epoch != self._length.epochs):
            return
        auc = validation_auc(self.result, self._val, self.device)
        self.model.train()
        if auc is not None:
            self.log("val_auc", auc)


def _generator(seed: int, what: str, *place: int, device: torch.device | None = None) -> torch.Generator:
    return torch.Generator(device or "cpu").manual_seed(seed_of(seed, what, *place))
