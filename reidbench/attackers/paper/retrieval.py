"""The paper's retrieval: contrastive learning with a cross-batch memory, first of the head and then of everything."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import nn

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.heads import NormalizedDistance, PairHead
from reidbench.attackers.network import summary
from reidbench.attackers.paper.base import PaperAttacker
from reidbench.attackers.paper.blocks import BlockBatches
from reidbench.attackers.paper.networks import RetrievalNet
from reidbench.networks.history import Training
from reidbench.networks.training import Precision, seed_of
from reidbench.progress import Progress

if TYPE_CHECKING:
    from reidbench.attackers.paper.contrast_learner import ContrastLearner
    from reidbench.attackers.siamese_network import Siamese


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
        # Lightning takes seconds to import: only where there is something to train.
        from reidbench.attackers.paper.rangetest import find_rate
        from reidbench.networks.trainer import run

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
        from reidbench.attackers.paper.contrast_learner import ContrastLearner

        batches = BlockBatches(
            train.patients, batch_size=self.batch_size, block=self.block, seed=seed_of(seed, "batches", phase)
        )
        return ContrastLearner(
            model,
            train,
            batches,
            frozen=phase == "frozen",
            dimensions=self.dimensions,
            memory=self.memory,
            size=self.size,
            color_jitter=self.color_jitter,
            weight_decay=self.weight_decay,
            steps=sum(len(batches.epoch(number)) for number in range(epochs)),
            peak=rate,
            seed=seed_of(seed, phase),
        )
