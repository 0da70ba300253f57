"""What the paper's two attackers share: networks in and out of files, vectors, scores."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr
from torch import nn

from reidbench.attackers.base import Attacker, Scenario
from reidbench.attackers.learner import PairHead, Siamese
from reidbench.attackers.paper.networks import Resized
from reidbench.attackers.weights import read_weights, write_weights
from reidbench.errors import ReidbenchError
from reidbench.networks.history import Training
from reidbench.networks.siamese import embed_images
from reidbench.networks.training import seed_of

#: A training whose loss stays within this share of an uninformed attacker's has learned nothing.
LEARNED = 0.01
#: Elements of a block of scores that is worked on at a time.
BLOCK = 1 << 22


class PaperAttacker(Attacker):
    """A network that maps each image by itself, and a head that compares two of its vectors."""

    backbone: str = Field("resnet50", description="resnet_small[_WIDTH[xBLOCKS]], a torchvision name, or timm:NAME")
    weights: str = Field(
        "imagenet_v1",
        description="the backbone's first weights: imagenet_v1 (the paper's), imagenet, random, or a file",
    )
    dimensions: int = Field(128, ge=2, description="length of an image's vector")
    batch_size: int = Field(32, ge=8, description="what goes through the network at a time")

    _model: Siamese | None = PrivateAttr(default=None)

    @abstractmethod
    def network(self, weights: str) -> nn.Module:
        """A fresh network, its backbone with these weights."""

    @abstractmethod
    def head(self) -> PairHead:
        """A fresh head."""

    @abstractmethod
    def seen_at(self) -> int | None:
        """The side in pixels at which images are embedded; None for their own."""

    def embed(self, images: NDArray[np.uint8], *, device: torch.device) -> NDArray[np.float32]:
        """Maps images (N, H, W) uint8 to vectors (N, D); equal images to equal vectors, to the last bit."""
        network = Resized(self.trained(), self.seen_at())
        return embed_images(network, images, device=device, batch_size=self.batch_size)

    def score(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of pairs of vectors, (P, D) and (P, D) to (P,); higher means more likely one patient."""
        head = self.trained().head.cpu()
        step = max(1, BLOCK // max(1, a.shape[1]))
        out = np.empty(len(a), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(a), step):
                out[i : i + step] = head.pairs(_tensor(a[i : i + step]), _tensor(b[i : i + step])).numpy()
        return out

    def score_block(self, probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, D) and (G, D) to (Q, G)."""
        head = self.trained().head.cpu()
        right = _tensor(gallery)
        step = max(1, BLOCK // max(1, len(gallery)))
        out = np.empty((len(probes), len(gallery)), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(probes), step):
                out[i : i + step] = head.block(_tensor(probes[i : i + step]), right).numpy()
        return out

    def save(self, path: Path) -> None:
        """Writes the weights (safetensors), whole or not at all."""
        write_weights(self.trained(), path, self._about())

    def load(self, path: Path, *, device: torch.device) -> None:
        """Reads weights that :meth:`save` wrote, strictly."""
        model = self.fresh(0, weights="random")
        read_weights(model, path, self._about())
        self.keep(model.to(device))

    def fresh(self, seed: int, *, weights: str) -> Siamese:
        """An untrained network with its head."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights"))
            return Siamese(self.network(weights), self.head())

    def first(self, seed: int, start: Path | None) -> Siamese:
        """The network that a training begins with: fresh, or another training's.

        Raises:
            ReidbenchError: the backbone's weights cannot be had, or ``start`` holds others.
        """
        if start is None:
            return self.fresh(seed, weights=self.weights)
        model = self.fresh(seed, weights="random")
        read_weights(model, start, self._about())
        return model

    def keep(self, model: Siamese) -> None:
        """Takes over a trained network."""
        self._model = model.eval()

    def trained(self) -> Siamese:
        """The trained network.

        Raises:
            ReidbenchError: there is none yet.
        """
        if self._model is None:
            raise ReidbenchError(f"attacker {self.name}: neither trained nor loaded yet")
        return self._model

    def identity(self, train: Scenario, seed: int, start: Path | None) -> dict[str, str]:
        """What determines a training: a checkpoint of another one is refused."""
        return {
            "attacker": self.name,
            "hyperparameters": self.model_dump_json(),
            "seed": str(seed),
            "images": hashlib.sha256(train.patients.tobytes()).hexdigest(),
            "size": str(train.size),
            "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else "",
        }

    def _about(self) -> dict[str, str]:
        return {"attacker": f"{self.name}, paper", "backbone": self.backbone, "shape": str(self.dimensions)}


def summary(history: list[dict[str, float]]) -> Training:
    """What is kept of a training whose rows hold ``train_loss``, ``uninformed_loss``, ``images`` and ``seconds``."""
    late = history[-max(1, len(history) // 4) :]
    loss = float(np.mean([row["train_loss"] for row in late]))
    uninformed = float(np.mean([row["uninformed_loss"] for row in late]))
    return Training(
        epochs=len(history),
        images_seen=int(sum(row["images"] for row in history)),
        seconds=float(sum(row["seconds"] for row in history)),
        history=history,
        learned=loss < (1 - LEARNED) * uninformed,
    )


def _tensor(vectors: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
