"""Anonymizers trained against a verifier and for a classifier: what flow_field and privacy_net share."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from reidbench import (
    EmbeddingNet,
    Field,
    FitData,
    FittedDefense,
    History,
    ReidbenchError,
    ReleaseRandom,
    masked_cross_entropy,
    to_unit,
    train,
)

#: The training as Packhäuser et al. (2023) published it, for images of 256²; it wants a GPU.
PUBLISHED: dict[str, Any] = {
    "epochs": 32,
    "warmup": 10,
    "batch_size": 64,
    "lr": 1e-4,
    "verifier": "resnet50",
    "classifier": "densenet121",
    "weights": "imagenet",
    "grid": 1,
}
Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


class AdversarialDefense(FittedDefense):
    """A network that changes an image so that a verifier fails on it and a classifier does not."""

    deterministic = True
    differentiable = True
    epochs: int = Field(4, ge=1, le=1000, description="passes over the training images, against the verifier")
    warmup: int = Field(
        3, ge=0, le=1000, description="passes before that, in which all networks learn from originals, each for itself"
    )
    batch_size: int = Field(32, ge=4, le=1024, description="images a step")
    lr: float = Field(1e-3, ge=1e-6, le=0.1, description="learning rate of Adam, for all networks")
    verifier: str = Field(
        "resnet_small", description="backbone of the verifier: resnet_small, a torchvision name, or timm:NAME"
    )
    classifier: str = Field("resnet_small", description="backbone of the classifier, named likewise")
    weights: str = Field("random", description="what both backbones begin with: random, imagenet, or a file")
    grid: int = Field(8, ge=1, le=16, description="cells a side that their feature maps are averaged into")
    verifier_weight: float = Field(1.0, ge=0, le=100, description="of the loss that the verifier is fooled by")
    classifier_weight: float = Field(1.0, ge=0, le=100, description="of the loss that keeps the findings")

    @abstractmethod
    def anonymize(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """What ``network`` makes of images: (B, 1, H, W) to the same, in [0, 1]."""

    def fit(
        self,
        network: nn.Module,
        data: FitData,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Any = None,
    ) -> History:
        """Trains the network, and a verifier and a classifier with it, which are thrown away.

        Raises:
            ReidbenchError: there is no pair of images of one patient, or only one patient.
        """
        module = Adversaries(self, network, data, seed)
        return train(
            module,
            epochs=self.warmup + self.epochs,
            steps=module.steps,
            seed=seed,
            identity={
                "defense": self.name,
                "options": self.model_dump_json(),
                "seed": seed,
                "images": hashlib.sha256(data.patients.tobytes()).hexdigest(),
            },
            device=device,
            work_dir=work_dir,
            progress=progress,
            description=f"training {self.name}",
        )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns anonymized images: (B, 1, H, W)."""
        return rng.each(images, partial(self.anonymize, self.network)).clamp(0, 1)


class Verifier(nn.Module):
    """Are two images of one patient? A siamese network, as the one that PriCheXy-Net is trained against.

    Both images are embedded, sigmoids of the vectors compared feature by feature, and the differences weighed.
    """

    def __init__(self, backbone: str, weights: str, grid: int) -> None:
        super().__init__()
        self.embedding = EmbeddingNet(backbone, weights=weights, dimensions=128, grid=grid)
        self.end = nn.Linear(128, 1)

    def forward(self, probes: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        """Logits of every pair, (B, 1, H, W) and (B, 1, H, W) to (B, B)."""
        one, other = (torch.sigmoid(self.embedding(images)) for images in (probes, gallery))
        logits: torch.Tensor = self.end((one[:, None] - other[None]).abs())[..., 0]
        return logits


class Adversaries(lightning.LightningModule):
    """The adversarial training of PriCheXy-Net (Packhäuser et al., 2023), on all pairs of a batch.

    First all learn apart: the network to return the image (mean squared error), the verifier and the classifier from
    originals. Then in turn, a step each: the network, against the verifier (−log of one minus its probability) and for
    the classifier (binary cross-entropy), both frozen; and both of these on what it makes now. A pair is an anonymized
    image and an original of another visit, or of another patient; both kinds weigh the same.
    """

    def __init__(self, options: AdversarialDefense, network: nn.Module, data: FitData, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.options = options
        self.network = network
        self.verifier = Verifier(options.verifier, options.weights, options.grid)
        findings = data.labels.shape[1]
        self.classifier: nn.Module | None = None
        if findings:
            self.classifier = EmbeddingNet(
                options.classifier, weights=options.weights, dimensions=findings, grid=options.grid
            )
        self._data = data
        self._partners = Partners(data.patients)
        self._seed = seed
        self.steps = max(1, round(len(data) / options.batch_size))

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of row numbers: each image once a pass, and another of its patient beside it."""
        batches: Any = list(self._partners.batches(self.steps, np.random.default_rng([self._seed, self.current_epoch])))
        return DataLoader(batches, batch_size=None, shuffle=False, collate_fn=_as_it_is)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network."""
        networks = [self.network, self.verifier, *([self.classifier] if self.classifier else [])]
        return [torch.optim.Adam(network.parameters(), lr=self.options.lr) for network in networks]

    def training_step(self, rows: Rows, number: int) -> None:
        """A step of each network."""
        images, others = (self._images(side) for side in rows)
        same = torch.from_numpy(self._data.patients[rows[0]][:, None] == self._data.patients[rows[1]]).to(self.device)
        # An image and its own release are not a pair of two visits.
        pairs = torch.from_numpy(rows[0][:, None] != rows[1]).to(self.device)
        labels = torch.from_numpy(self._data.labels[rows[0]]).to(self.device)
        made = self.options.anonymize(self.network, images)
        reconstruction = F.mse_loss(made, images)
        self._tell("reconstruction_loss", reconstruction)
        optimizers: Any = self.optimizers()
        if self.current_epoch < self.options.warmup:
            self._step(optimizers[0], reconstruction)
            made = images
        else:
            # In evaluation mode, and not updated: the network learns from its critics as they are.
            self.toggle_optimizer(optimizers[0])
            loss = self._fooled(made, others, labels, same, pairs)
            self._tell("train_loss", loss)
            self._step(optimizers[0], loss)
            self.untoggle_optimizer(optimizers[0])
        made = made.detach()
        logits = self.verifier.train()(made, others)
        errors = F.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
        loss = _balanced(errors, same, pairs)
        self._tell("verifier_loss", loss)
        self._step(optimizers[1], loss)
        if self.classifier is not None:
            loss = masked_cross_entropy(self.classifier.train()(made), labels)
            self._tell("classifier_loss", loss)
            self._step(optimizers[2], loss)

    def _fooled(
        self, made: torch.Tensor, others: torch.Tensor, labels: torch.Tensor, same: torch.Tensor, pairs: torch.Tensor
    ) -> torch.Tensor:
        recognized = F.softplus(self.verifier.eval()(made, others))
        loss = self.options.verifier_weight * _balanced(recognized, same, pairs)
        if self.classifier is not None:
            loss = loss + self.options.classifier_weight * masked_cross_entropy(self.classifier.eval()(made), labels)
        return loss

    def _step(self, optimizer: Any, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _tell(self, name: str, loss: torch.Tensor) -> None:
        self.log(name, loss.detach(), on_epoch=True, on_step=False, batch_size=1)

    def _images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return to_unit(self._data.pixels[rows], self.device)


class Partners:
    """For each image, another one of its patient.

    Args:
        patients: (N,).

    Raises:
        ReidbenchError: no patient has two images, or there is only one patient.
    """

    def __init__(self, patients: NDArray[np.int64]) -> None:
        order = np.argsort(patients, kind="stable")
        _, starts, counts = np.unique(patients[order], return_index=True, return_counts=True)
        if len(counts) < 2 or counts.max() < 2:
            raise ReidbenchError(
                f"a verifier to train against takes two patients, and one with two images; of the {len(counts)} in the "
                f"train split {(counts > 1).sum()} have two"
            )
        self._order = order
        self._starts = np.repeat(starts, counts)
        self._counts = np.repeat(counts, counts)

    def batches(self, steps: int, rng: np.random.Generator) -> Iterator[Rows]:
        """All images in a random order, cut into ``steps``; beside each another one of its patient, if there is one."""
        places = rng.permutation(len(self._order))
        starts, counts = self._starts[places], self._counts[places]
        # A step round the patient's images that doesn't lead back; who has one image stays, and makes impostors only.
        steps_on = 1 + np.floor(rng.random(len(places)) * np.maximum(counts - 1, 1)).astype(np.int64)
        partners = starts + (places - starts + steps_on) % counts
        yield from zip(*(np.array_split(self._order[side], steps) for side in (places, partners)), strict=True)


def _balanced(losses: torch.Tensor, same: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The mean of the mean over genuine and that over impostor pairs; of one of them, where a batch has no other."""
    means = [losses[chosen].mean() for chosen in (same & pairs, ~same & pairs) if bool(chosen.any())]
    return torch.stack(means).mean() if means else losses.sum() * 0


def _as_it_is(batch: Any) -> Any:
    return batch
