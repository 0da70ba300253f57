"""The paper's verification: a siamese ResNet-50 on a list of pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import lightning
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.heads import PairHead, SigmoidDifference
from reidbench.attackers.lightning_module import Siamese
from reidbench.attackers.network import summary
from reidbench.attackers.paper.base import PaperAttacker
from reidbench.attackers.paper.networks import VerificationNet
from reidbench.attackers.paper.pairlists import Batch, PairList, TrainingPairs, TrainingSet
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.siamese import Resized, embed_images, resize
from reidbench.networks.history import Training
from reidbench.networks.training import load_in_order, run, seed_of, side_generator
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


class Validation:
    """Fixed pairs of fixed images: early stopping looks at the same ones after every epoch.

    The authors' code draws the validation negatives anew too, and stops on a moving set; that is not copied.
    """

    def __init__(self, images: Fixed, pairs: TrainingPairs) -> None:
        self.images = images
        self.pairs = pairs

    @classmethod
    def of(cls, val: Fixed | None, pairs: int, seed: int) -> Validation | None:
        """None where there are no validation images, or no pair of one patient among them."""
        if val is None:
            return None
        try:
            return cls(val, PairList(val.patients, pairs=pairs, kind="fts", seed=seed).epoch(0))
        except ReidbenchError:
            return None

    def loss(self, model: Siamese, *, size: int, device: torch.device, batch_size: int) -> float:
        """Binary cross-entropy of the pairs; each image is embedded once."""
        network = Resized(model, size)
        sides = [self.images.probe, self.images.gallery]
        held = embed_images(network, sides[0], device=device, batch_size=batch_size)
        same = sides[0] is sides[1]
        published = held if same else embed_images(network, sides[1], device=device, batch_size=batch_size)
        with torch.no_grad():
            a, b = torch.from_numpy(held[self.pairs.a]).to(device), torch.from_numpy(published[self.pairs.b]).to(device)
            return float(cross_entropy(model.head.pairs(a, b), torch.from_numpy(self.pairs.same).to(device)))


class PairLearner(lightning.LightningModule):
    """Trains on a list of pairs, a probe view of the one image and a gallery view of the other."""

    def __init__(
        self,
        model: Siamese,
        scenario: Scenario,
        pairs: PairList,
        validation: Validation | None,
        *,
        size: int,
        batch_size: int,
        lr: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.validation = validation
        self._scenario = scenario
        self._pairs = pairs
        self._size = size
        self._batch_size = batch_size
        self._lr = lr
        self._seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of this epoch's pairs."""
        batches: Any = self._pairs.epoch(self.current_epoch).cut(self._batch_size)
        return load_in_order(batches)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        return torch.optim.Adam(self.model.parameters(), lr=self._lr)

    def training_step(self, pairs: Batch, number: int) -> torch.Tensor:
        """The loss of one batch: two passes, so that each side has batch statistics of its own, as in the paper."""
        scenario, step = self._scenario, self.global_step
        *rows, same = pairs
        views = [
            side(part, generator=side_generator(self._seed, name, step), device=self.device)
            for name, side, part in zip(("probe", "gallery"), (scenario.probe, scenario.gallery), rows)
        ]
        a, b = (self.model(resize(view, self._size)) for view in views)
        loss = cross_entropy(self.model.head.pairs(a, b), torch.from_numpy(same).to(self.device))
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(same))
        self.log("uninformed_loss", math.log(2), on_epoch=True, on_step=False, batch_size=len(same))
        self.log("images", float(2 * len(same)), on_epoch=True, on_step=False, reduce_fx="sum")
        return loss

    def on_train_epoch_end(self) -> None:
        """Validates."""
        if self.validation is None:
            return
        loss = self.validation.loss(self.model, size=self._size, device=self.device, batch_size=self._batch_size)
        self.model.train()
        self.log("val_loss", loss)


def cross_entropy(logits: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of logits (P,) and booleans (P,), the mean over pairs."""
    return functional.binary_cross_entropy_with_logits(logits, same.to(logits))
