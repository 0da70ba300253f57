"""What attackers share that are one network for both images of a pair, with a head: vectors, scores, files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PrivateAttr

from reidbench.attackers.base import Attacker
from reidbench.attackers.heads import PairHead
from reidbench.attackers.siamese_network import Siamese
from reidbench.attackers.weights import read_weights, write_weights
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.siamese import Resized, embed_images
from reidbench.networks.history import Training
from reidbench.networks.training import seed_of

#: A training whose loss stays within this share of an uninformed attacker's has learned nothing.
LEARNED = 0.01
#: Elements of a block of scores that is worked on at a time.
BLOCK = 1 << 22
#: Images through a network at a time, where they are only mapped.
EMBEDDED_AT_ONCE = 128
#: By kind of device, the type in which images are embedded where scores agree. Not on a CPU: there records of runs with
#: and without such instructions would differ.
HALF = {"cuda": torch.float16}
#: Differences of scores that are no difference, as a share of the scores' range; and images whose scores are compared.
AGREEMENT = 1e-3
COMPARED = 128


class NetworkAttacker(Attacker):
    """A network that maps each image by itself, and a head that compares two of its vectors."""

    _model: Siamese | None = PrivateAttr(default=None)

    @abstractmethod
    def model(self, weights: str) -> Siamese:
        """A new network with a new head, its backbone with these weights; draws from torch's global generator."""

    @abstractmethod
    def head(self) -> PairHead:
        """A fresh head."""

    @abstractmethod
    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""

    def seen_at(self) -> int | None:
        """The side in pixels at which images are embedded; None for their own."""
        return None

    def embedded_at_once(self) -> int:
        """Images through the network at a time, where they are only mapped."""
        return EMBEDDED_AT_ONCE

    @property
    def siamese(self) -> Siamese:
        """The trained network with its head.

        Raises:
            ReidbenchError: it is neither trained nor loaded yet.
        """
        if self._model is None:
            raise ReidbenchError(f"attacker {self.name}: neither trained nor loaded yet")
        return self._model

    def keep(self, model: Siamese) -> None:
        """Takes over a trained network."""
        self._model = model.eval()

    def fresh(self, seed: int, *, weights: str) -> Siamese:
        """An untrained network with its head, the same for the same seed.

        Raises:
            ReidbenchError: the backbone's weights cannot be had.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights"))
            return self.model(weights)

    def started(self, seed: int, path: Path) -> Siamese:
        """A network with the weights of a file, strictly.

        Raises:
            ReidbenchError: the file is missing or holds others.
        """
        # Pre-trained weights are not read where others come after them.
        model = self.fresh(seed, weights="random")
        read_weights(model, path, self.about())
        return model

    def embed(self, images: NDArray[np.uint8], *, device: torch.device) -> NDArray[np.float32]:
        """Maps images (N, H, W) uint8 to vectors (N, D); equal images to equal vectors, to the last bit.

        On a GPU in half precision, if that changes no score of some of these images by more than ``AGREEMENT`` of the
        scores' range.
        """
        half = HALF.get(device.type)
        if half is not None and not self._agrees(images, device, half):
            half = None
        return self._embed(images, device, half)

    def _embed(self, images: NDArray[np.uint8], device: torch.device, dtype: torch.dtype | None) -> NDArray[np.float32]:
        network = Resized(self.siamese, self.seen_at())
        return embed_images(network, images, device=device, batch_size=self.embedded_at_once(), dtype=dtype)

    def _agrees(self, images: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> bool:
        if not len(images):
            return False
        some = images[np.unique(np.linspace(0, len(images) - 1, COMPARED).astype(np.intp))]
        full, lower = (
            self.score_block(vectors, vectors)
            for vectors in (self._embed(some, device, kind) for kind in (None, dtype))
        )
        # What is not finite agrees with nothing.
        return bool(np.abs(full - lower).max() <= AGREEMENT * np.ptp(full))

    def score(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of pairs of vectors, (P, D) and (P, D) to (P,); higher means more likely one patient."""
        head = self.siamese.head.cpu()
        step = max(1, BLOCK // max(1, a.shape[1]))
        out = np.empty(len(a), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(a), step):
                out[i : i + step] = head.pairs(_tensor(a[i : i + step]), _tensor(b[i : i + step])).numpy()
        return out

    def score_block(self, probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, D) and (G, D) to (Q, G)."""
        head = self.siamese.head.cpu()
        right = _tensor(gallery)
        step = max(1, BLOCK // max(1, len(gallery)))
        out = np.empty((len(probes), len(gallery)), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(probes), step):
                out[i : i + step] = head.block(_tensor(probes[i : i + step]), right).numpy()
        return out

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """P(same patient) of scores, in [0, 1], same shape, as the head has it; NaN throughout where it only ranks."""
        with torch.random.fork_rng(devices=[]):
            # A matter of the head's kind, not of its weights.
            head = self._model.head if self._model is not None else self.head()
        return head.probability(scores)

    def save(self, path: Path) -> None:
        """Writes the weights (safetensors), whole or not at all."""
        write_weights(self.siamese, path, self.about())

    def load(self, path: Path, *, device: torch.device) -> None:
        """Reads weights that :meth:`save` wrote, strictly."""
        self.keep(self.started(0, path).to(device))


def summary(history: list[dict[str, float]], *, kept_start: bool = False) -> Training:
    """What is kept of a training whose rows hold ``train_loss``, ``uninformed_loss``, ``images`` and ``seconds``."""
    return Training(
        epochs=len(history),
        images_seen=int(sum(row["images"] for row in history)),
        seconds=float(sum(row["seconds"] for row in history)),
        history=history,
        learned=learned(history),
        kept_start=kept_start,
    )


def learned(history: list[dict[str, float]]) -> bool:
    """Whether the loss of the last quarter of a training's rows is below an uninformed attacker's."""
    late = history[-max(1, len(history) // 4) :]
    loss, uninformed = (float(np.mean([row[name] for row in late])) for name in ("train_loss", "uninformed_loss"))
    return loss < (1 - LEARNED) * uninformed


def _tensor(vectors: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
