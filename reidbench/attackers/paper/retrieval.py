"""The paper's retrieval: contrastive learning with a cross-batch memory, first of the head and then of everything."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning
import torch
from pydantic import Field, model_validator
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import nn
from torch.utils.data import DataLoader

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.heads import NormalizedDistance, PairHead
from reidbench.attackers.lightning_module import Siamese
from reidbench.attackers.losses import Memory
from reidbench.attackers.network import summary
from reidbench.attackers.paper.base import PaperAttacker
from reidbench.attackers.paper.blocks import BlockBatches
from reidbench.attackers.paper.cycle import sgd_1cycle
from reidbench.attackers.paper.jitter import jitter
from reidbench.attackers.paper.networks import RetrievalNet
from reidbench.attackers.paper.patients import Rows
from reidbench.attackers.paper.rangetest import find_rate
from reidbench.networks.architectures.siamese import resize
from reidbench.networks.history import Training
from reidbench.networks.precision import in_full
from reidbench.networks.training import Precision, load_in_order, run, seed_of, side_generator
from reidbench.progress import Progress

#: The contrastive loss of equal vectors: genuine pairs cost nothing, impostors the margin.
MARGIN = 1.0


class PaperRetrieval(PaperAttacker):
    """Retrieval by the 2022 paper's recipe: contrastive loss, cross-batch memory, 1cycle, first with a frozen backbone.

    Its network takes images of any size: they are trained on at ``size`` and embedded at ``test_size``.
    """

    name = "retrieval"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    size: int | None = Field(None, ge=16, description="side in pixels in training; the images' own if left out")
    test_size: int | None = Field(None, ge=16, description="side in pixels in the test; the images' own if left out")
    block: int = Field(8, ge=3, description="images of a patient that stand together in a batch, at most")
    memory: int = Field(128, ge=8, description="embeddings of the last batches, this one's included, to compare with")
    frozen_epochs: int = Field(30, ge=0, description="passes over the images with the backbone's weights as they are")
    epochs: int = Field(50, ge=1, description="passes over the images with all weights trained")
    lr: float = Field(0.1584, gt=0, description="peak rate of both 1cycles")
    find_lr: bool = Field(False, description="find the peak rate by a range test, in place of lr")
    weight_decay: float = Field(1e-5, ge=0, description="L2 penalty, not on biases and batch norms")
    color_jitter: float = Field(0.4, ge=0, le=1, description="of brightness and contrast in training")
    precision: Precision = Field("16-mixed", description="of training on a GPU; a CPU takes 32-true")

    @model_validator(mode="after")
    def _fits(self) -> PaperRetrieval:
        if self.memory < self.batch_size:
            raise ValueError(f"memory={self.memory} must hold a batch of {self.batch_size}")
        return self

    def network(self, weights: str) -> nn.Module:
        """The backbone, and the head over its map."""
        return RetrievalNet(self.backbone, weights=weights, dimensions=self.dimensions)

    def head(self) -> PairHead:
        """Euclidean distance of normalized vectors."""
        return NormalizedDistance()

    def seen_at(self) -> int | None:
        """The size in the test."""
        return self.test_size

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
        """Trains; see :meth:`Attacker.fit`. From another training's weights, everything is trained at once."""
        model = self.first(seed, start)
        phases = {"frozen": 0 if start else self.frozen_epochs, "full": self.epochs}
        rate, history = self.lr, list[dict[str, float]]()
        precision: Precision = self.precision if device.type == "cuda" else "32-true"
        if self.find_lr:
            begin = next(phase for phase, epochs in phases.items() if epochs)
            learner = self._learner(model, train, begin, phases[begin], rate, seed)
            rate = find_rate(learner, seed=seed, device=device, work_dir=work_dir, precision=precision)
        for phase, epochs in phases.items():
            if epochs:
                learner = self._learner(model, train, phase, epochs, rate, seed)
                history += run(
                    learner,
                    epochs=epochs,
                    steps=math.ceil(learner.steps / epochs),
                    seed=seed_of(seed, phase),
                    identity={**self.fingerprint(train, seed, start), "phase": phase},
                    device=device,
                    work_dir=work_dir / phase,
                    precision=precision,
                    progress=progress,
                    description=f"training {self.name}, {phase}",
                )
        self.keep(model)
        return summary([{**row, "epoch": float(number)} for number, row in enumerate(history, 1)])

    def _learner(
        self, model: Siamese, train: Scenario, phase: str, epochs: int, rate: float, seed: int
    ) -> ContrastLearner:
        """One phase: a 1cycle and batches of its own."""
        batches = BlockBatches(
            train.patients, batch_size=self.batch_size, block=self.block, seed=seed_of(seed, "batches", phase)
        )
        return ContrastLearner(
            model,
            train,
            batches,
            frozen=phase == "frozen",
            attacker=self,
            steps=sum(len(batches.epoch(number)) for number in range(epochs)),
            peak=rate,
            seed=seed_of(seed, phase),
        )


class ContrastLearner(lightning.LightningModule):
    """Trains on blocks of patients' images, each image in one view: every other one of a block as it is published."""

    def __init__(
        self,
        model: Siamese,
        scenario: Scenario,
        batches: BlockBatches,
        *,
        frozen: bool,
        attacker: PaperRetrieval,
        steps: int,
        peak: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = Memory(contrastive(), attacker.dimensions, attacker.memory)
        self._scenario = scenario
        self._batches = batches
        self._frozen = frozen
        self._attacker = attacker
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
        sgd, schedule = sgd_1cycle(trained, peak=self._peak, l2=self._attacker.weight_decay, steps=self.steps)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, rows: Rows, number: int) -> torch.Tensor:
        """The loss of one batch. All its draws follow from (seed, step), so that a resumed training repeats them."""
        images = jitter(self._views(rows), self._attacker.color_jitter, self._generator("jitter", self.device))
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
        # Alternating down the batch: of every patient in it, who has two images there or more, both sides are shown.
        scenario = self._scenario
        parts: list[tuple[str, Callable[..., torch.Tensor], Rows]] = [
            ("probe", scenario.probe, rows[0::2]),
            ("gallery", scenario.gallery, rows[1::2]),
        ]
        probe, gallery = (
            resize(
                side(part, generator=side_generator(self._seed, name, self.global_step), device=self.device),
                self._attacker.size,
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
