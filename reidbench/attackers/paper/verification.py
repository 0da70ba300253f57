"""The paper's verification: a siamese ResNet-50 on a list of pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.heads import PairHead, SigmoidDifference
from reidbench.attackers.network import summary
from reidbench.attackers.paper.base import PaperAttacker
from reidbench.attackers.paper.networks import VerificationNet
from reidbench.attackers.paper.pairlists import PairList, TrainingSet
from reidbench.networks.history import Training
from reidbench.networks.training import seed_of
from reidbench.progress import Progress


class PaperVerification(PaperAttacker):
    """Verification by the 2022 paper's recipe: a list of pairs, binary cross-entropy, early stopping."""

    name = "verification"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    size: int = Field(256, ge=16, description="side in pixels at which the network sees an image")
    training_set: TrainingSet = Field("rnp", description="fts: pairs fixed; rnp: negatives redrawn every epoch")
    pairs: int = Field(800_000, ge=2, description="N_s, training pairs, half of them of one patient")
    validation_pairs: int = Field(50_000, ge=2, description="fixed pairs that early stopping looks at")
    lr: float = Field(1e-4, gt=0, description="Adam's learning rate; the paper's are 1e-3 and 1e-4")
    epochs: int = Field(100, ge=1, description="passes over the pairs, at most")
    patience: int = Field(5, ge=1, description="epochs without a lower validation loss before it stops")

    def network(self, weights: str) -> nn.Module:
        """The backbone, its last layer replaced."""
        return VerificationNet(self.backbone, weights=weights, dimensions=self.dimensions)

    def head(self) -> PairHead:
        """|σ(z₁) − σ(z₂)|, linear."""
        return SigmoidDifference(self.dimensions)

    def seen_at(self) -> int | None:
        """One size in training and test."""
        return self.size

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
        """Trains; see :meth:`Attacker.fit`. Without a pair to validate on, nothing stops it before its last epoch."""
        # Lightning takes seconds to import: only where there is something to train.
        from reidbench.attackers.paper.pair_learner import PairLearner, Validation
        from reidbench.networks.trainer import run

        pairs = PairList(train.patients, pairs=self.pairs, kind=self.training_set, seed=seed_of(seed, "pairs"))
        learner = PairLearner(
            self.first(seed, start),
            train,
            pairs,
            Validation.of(val, self.validation_pairs, seed_of(seed, "validation pairs")),
            size=self.size,
            batch_size=self.batch_size,
            lr=self.lr,
            seed=seed,
        )
        history = run(
            learner,
            epochs=self.epochs,
            steps=math.ceil(len(pairs) / self.batch_size),
            seed=seed,
            identity=self.fingerprint(train, seed, start),
            device=device,
            work_dir=work_dir,
            patience=self.patience if learner.validation else None,
            progress=progress,
            description=f"training {self.name}",
        )
        self.keep(learner.model)
        return summary(history)
