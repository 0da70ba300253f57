"""Networks that see both images of a pair at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from reidbench.attackers.base import Fixed, Scenario, Training
from reidbench.attackers.heads import logistic
from reidbench.attackers.network import summary
from reidbench.attackers.pairs import PairAttacker
from reidbench.attackers.weights import read_weights, write_weights
from reidbench.errors import ReidbenchError
from reidbench.images import to_unit
from reidbench.networks.augment import Augmentation
from reidbench.networks.samplers import PatientBatches, Sides
from reidbench.networks.trainer import run
from reidbench.networks.training import (
    Length,
    Precision,
    length,
    load_in_order,
    optimizer,
    seed_of,
    side_generator,
)
from reidbench.progress import Progress


class PairNetworkAttacker(PairAttacker):
    """A network that sees a pair as an image of two channels and answers with the logit of "one patient".

    A subclass gives the network. It is trained on the genuine pairs of a batch of patients and as many impostor pairs,
    by binary cross-entropy, AdamW and a 1cycle schedule; on a CPU equal seeds give equal weights.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {},
        "standard": {"epochs": 60, "min_steps": 3000, "max_steps": 100_000, "precision": "bf16-mixed"},
    }

    batch_size: int = Field(64, ge=8, description="images a step; their genuine pairs and as many impostors are scored")
    images_per_patient: int = Field(4, ge=2, description="at most so many images of a patient in a batch")
    epochs: float = Field(15, gt=0, description="passes over the images, within min_steps and max_steps")
    min_steps: int = Field(400, ge=1, description="batches at least, so that a small cohort trains long enough")
    max_steps: int = Field(20_000, ge=1, description="batches at most")
    warm_share: float = Field(0.25, gt=0, le=1, description="share of these batches from another training's weights")
    lr: float = Field(2e-3, gt=0, description="peak learning rate of AdamW's 1cycle schedule")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    precision: Precision = Field("32-true", description="of training")
    augmentation: Augmentation = Field(Augmentation(), description="random changes of the images in training")

    _network: nn.Module | None = PrivateAttr(default=None)
    _device: torch.device = PrivateAttr(default=torch.device("cpu"))

    @abstractmethod
    def build(self) -> nn.Module:
        """A new network: (P, 2, H, W) float32 in [0, 1], probe and gallery image, to (P,) or (P, 1) logits.

        Its weights are drawn from torch's global generator, which is seeded before.
        """

    def fit(
        self,
        train: Scenario,
        val: Fixed | None,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        start: Path | None = None,
        progress: Progress | None = None,
    ) -> Training:
        """Trains; see :meth:`Attacker.fit`. ``val`` is not used: the last weights are kept."""
        network = self._fresh(seed)
        if start is not None:
            read_weights(network, start, self._about())
        share = self.warm_share if start is not None else 1.0
        planned = length(
            len(train.patients),
            self.batch_size,
            epochs=self.epochs * share,
            min_steps=max(1, round(self.min_steps * share)),
            max_steps=max(1, round(self.max_steps * share)),
        )
        learner = _PairLearner(network, train, self, planned, seed)
        history = run(
            learner,
            epochs=planned.epochs,
            steps=planned.steps,
            seed=seed,
            identity=self.fingerprint(train, seed, start),
            device=device,
            work_dir=work_dir,
            precision=self.precision,
            progress=progress,
            description=f"training {self.name}",
        )
        self._keep(network, device)
        return summary(history)

    @torch.no_grad()
    def score_pairs(self, probe: NDArray[np.uint8], gallery: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of pairs of images, (P, H, W) and (P, H, W) uint8 to (P,)."""
        if self._network is None:
            raise ReidbenchError(f"attacker {self.name}: neither trained nor loaded yet")
        pairs = torch.cat([to_unit(side, self._device) for side in (probe, gallery)], dim=1)
        logits: NDArray[np.float32] = self._network(pairs).float().reshape(len(pairs)).cpu().numpy()
        return logits

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of the logit: P(same) where genuine and impostor pairs are equally frequent."""
        return logistic(scores)

    def save(self, path: Path) -> None:
        """Writes the weights (safetensors), whole or not at all."""
        if self._network is None:
            raise ReidbenchError(f"attacker {self.name}: neither trained nor loaded yet")
        write_weights(self._network, path, self._about())

    def load(self, path: Path, *, device: torch.device) -> None:
        """Reads weights that :meth:`save` wrote, strictly."""
        network = self._fresh(0)
        read_weights(network, path, self._about())
        self._keep(network, device)

    def _fresh(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights"))
            return self.build()

    def _keep(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network.to(device).eval(), device

    def _about(self) -> dict[str, str]:
        return {"attacker": self.name}


class _PairLearner(lightning.LightningModule):
    """Trains a network on the genuine pairs of each batch and as many impostor pairs."""

    def __init__(
        self, network: nn.Module, train: Scenario, attacker: PairNetworkAttacker, planned: Length, seed: int
    ) -> None:
        super().__init__()
        self.network = network
        self._scenario = train
        self._attacker = attacker
        self._length = planned
        self._seed = seed
        self._batches = PatientBatches(
            train.patients,
            batch_size=attacker.batch_size,
            images_per_patient=attacker.images_per_patient,
            seed=seed_of(seed, "batches"),
        )

    def train_dataloader(self) -> DataLoader[Sides]:
        """The batches of the coming epoch."""
        batches: Any = self._batches.epoch(self.current_epoch, self._length.steps)
        return load_in_order(batches)

    def configure_optimizers(self) -> Any:
        """AdamW and 1cycle over all steps."""
        attacker = self._attacker
        adamw, schedule = optimizer(
            list(self.network.named_parameters()),
            lr=attacker.lr,
            weight_decay=attacker.weight_decay,
            total_steps=self._length.total,
        )
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, index: Sides, number: int) -> torch.Tensor:
        """The loss of one batch. All its draws follow from (seed, step), so that a resumed training repeats them."""
        scenario = self._scenario
        views = [
            side(rows, generator=side_generator(self._seed, name, self.global_step), device=self.device)
            for name, side, rows in zip(("probe", "gallery"), (scenario.probe, scenario.gallery), index)
        ]
        images = self._attacker.augmentation(torch.cat(views), self._generator("augmentation", self.device))
        probe, gallery = images.split([len(rows) for rows in index])
        a, b, same = self._pairs(*(scenario.patients[rows] for rows in index))
        pairs = torch.cat([probe[a], gallery[b]], dim=1)
        signs = torch.from_numpy(np.where(same, -1.0, 1.0).astype(np.float32)).to(self.device)
        loss = functional.softplus(signs * self.network(pairs).float().reshape(len(same))).mean()
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=1)
        self.log("uninformed_loss", math.log(2), on_epoch=True, on_step=False, batch_size=1)
        self.log("images", float(len(images)), on_epoch=True, on_step=False, reduce_fx="sum")
        return loss

    def _pairs(
        self, probe: NDArray[np.int64], gallery: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.bool_]]:
        # All genuine pairs of the batch, and as many impostor pairs by chance.
        same = probe[:, None] == gallery[None]
        genuine, impostor = np.argwhere(same), np.argwhere(~same)
        rng = np.random.default_rng([seed_of(self._seed, "impostors"), self.global_step])
        drawn = impostor[rng.choice(len(impostor), min(len(genuine), len(impostor)), replace=False)]
        a, b = (torch.from_numpy(rows).to(self.device) for rows in np.concatenate([genuine, drawn]).T.copy())
        return a, b, np.arange(len(a)) < len(genuine)

    def _generator(self, what: str, device: torch.device | None = None) -> torch.Generator:
        return torch.Generator(device or "cpu").manual_seed(seed_of(self._seed, what, self.global_step))
