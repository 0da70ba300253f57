"""How the paper's verification is trained, and stopped: on a list of pairs."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.paper.pairlists import Batch, PairList, TrainingPairs
from reidbench.attackers.siamese_network import Siamese
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.siamese import Resized, embed_images, resize
from reidbench.networks.training import load_in_order, side_generator


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
