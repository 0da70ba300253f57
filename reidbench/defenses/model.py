"""Defenses that publish a trained model, and its vectors of the images, in place of the images."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reidbench.defenses.base import BaseDefense, Privacy
from reidbench.errors import PluginError, ReidbenchError
from reidbench.images import map_images
from reidbench.progress import Progress, Silent


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """What a model is trained on.

    Attributes:
        pixels: (N, H, W) uint8; may be memory-mapped and read-only.
        patients: (N,) int64, each image's patient.
        findings: (N, L) float64, 1 or 0, NaN where unknown.
        population: how many patients the mechanism is set up for; a public number. Rates and scales follow from it, and
            not from the patients who are there: whether one more of them is there is what a guarantee keeps secret.
        identifiers: (N,) each image's patient as the dataset names them; None where there are no names but the numbers.
            Unlike a number, a name does not depend on which other patients are present.
    """

    pixels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    findings: NDArray[np.float64]
    population: int
    identifiers: NDArray[np.str_] | None = None


@dataclass(frozen=True)
class Fitted:
    """How a model was trained.

    Attributes:
        privacy: what is guaranteed to whom it was trained on; None where nothing is.
        epochs, images_seen: how much of it there was.
        history: one row per epoch, numbers by name, ``epoch`` (from 1) among them.
        learned: False when the training loss never left that of a network which knows nothing.
    """

    privacy: Privacy | None
    epochs: int
    images_seen: int
    history: list[dict[str, float]] = field(default_factory=list)
    learned: bool = True


class PublishedNetwork(nn.Module, ABC):
    """A network that is published: images to findings, by way of a vector.

    In evaluation mode the vector of an image depends on that image alone, never on its batch.
    """

    @abstractmethod
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) float32 in [0, 1] to the vectors that are published, (B, D)."""

    @abstractmethod
    def classify(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (B, D) to the logits of the findings (B, L)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to logits (B, L)."""
        return self.classify(self.embed(images))


class ModelDefense(BaseDefense):
    """Publishes a trained model, and its vectors of the images, in place of the images."""

    kind = "model"

    @abstractmethod
    def network(self, size: int, findings: int) -> PublishedNetwork:
        """An untrained network.

        Args:
            size: width and height of the images in pixels.
            findings: how many the network is to tell, at least 1.
        """

    @abstractmethod
    def fit(
        self,
        network: PublishedNetwork,
        train: LabelledImages,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Progress,
    ) -> Fitted:
        """Trains a network in place; the same weights for the same seed on a CPU.

        Args:
            network: from :meth:`network`, on ``device``.
            train: may hold any number of patients, also fewer than its ``population``.
            work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.
        """

    def check(self, train: LabelledImages) -> None:
        """Refuses options or images by a ReidbenchError where :meth:`fit` would, before anything is trained.

        By default nothing is refused here. A run asks before it trains the undefended model; :meth:`fit` is not to rely
        on having been asked.
        """

    @abstractmethod
    def undefended(self) -> ModelDefense:
        """The same model trained without the defense: what drops are counted from. Itself, if it is that."""


def ask_model(defense: ModelDefense, train: LabelledImages) -> None:
    """Asks a defense whether it would train on these images.

    Raises:
        ReidbenchError: it would not, with its reason.
        PluginError: it raised anything else; the message begins with its name.
    """
    try:
        defense.check(train)
    except ReidbenchError as error:
        raise ReidbenchError(f"{defense.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{defense.name}: check() raised {type(error).__name__}: {error}") from error


def fit_model(
    defense: ModelDefense,
    train: LabelledImages,
    *,
    seed: int,
    device: torch.device,
    work_dir: Path,
    progress: Progress | None = None,
) -> tuple[PublishedNetwork, Fitted]:
    """Trains the model that a defense publishes.

    Args:
        seed: of weights, sampling and noise. The noise can be computed and subtracted by anyone who knows the seed, so
            an actual publication needs a secret one.
        work_dir: for checkpoints.

    Raises:
        ReidbenchError: the defense refuses these images, with its reason.
        PluginError: it raised, changed the images, or left weights that are not finite; the message begins with its
            name.
    """
    size, findings = int(train.pixels.shape[-1]), int(train.findings.shape[1])
    before = _digest(train)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(_seed(seed))
            network = defense.network(size, findings).to(device)
            fitted = defense.fit(
                network, train, seed=seed, device=device, work_dir=work_dir, progress=progress or Silent()
            )
    except ReidbenchError as error:
        raise ReidbenchError(f"{defense.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{defense.name}: fit() raised {type(error).__name__}: {error}") from error
    if _digest(train) != before:
        raise PluginError(f"{defense.name}: fit() changed what it was given in place")
    if not all(bool(torch.isfinite(weights).all()) for weights in network.state_dict().values()):
        raise PluginError(f"{defense.name}: fit() left weights that are NaN or infinite")
    return network.eval(), fitted


def published_vectors(
    defense: ModelDefense, network: PublishedNetwork, pixels: NDArray[np.uint8], *, device: torch.device
) -> NDArray[np.float32]:
    """The vectors (N, D) that are published of images (N, H, W) uint8.

    Batches are filled up to one size, so that an image's vector does not depend on how many there are.

    Raises:
        PluginError: the network made another shape, or NaN.
    """
    network = network.to(device).eval()

    def embed(images: torch.Tensor) -> torch.Tensor:
        vectors = network.embed(images)
        if vectors.ndim != 2 or len(vectors) != len(images):
            raise PluginError(f"{defense.name}: embed() made shape {tuple(vectors.shape)} of {len(images)} images")
        return vectors.float()

    found: NDArray[np.float32] = map_images(embed, pixels, device=device)
    if not np.isfinite(found).all():
        raise PluginError(f"{defense.name}: embed() returned NaN or infinite values")
    return found


@torch.no_grad()
def published_logits(
    network: PublishedNetwork, vectors: NDArray[np.float32], *, device: torch.device
) -> NDArray[np.float32]:
    """The findings that the network sees behind published vectors: (N, D) to logits (N, L)."""
    network = network.to(device).eval()
    logits: NDArray[np.float32] = network.classify(torch.from_numpy(vectors).to(device)).float().cpu().numpy()
    return logits


def _seed(seed: int) -> int:
    digest = hashlib.blake2b(f"published network {seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _digest(train: LabelledImages) -> bytes:
    digest = hashlib.blake2b()
    for array in (train.pixels, train.patients, train.findings):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
