"""What an attacker must do, and what it is given to train on."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from reidbench.networks.history import Training
from reidbench.progress import Progress

__all__ = ["Attacker", "Fixed", "Scenario", "Side", "Training"]


class Side(Protocol):
    """The images of one side of a pair, as an attacker in training sees them: on demand, drawn afresh at each call."""

    def __call__(self, index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        """Images of these rows: (B, 1, H, W) float32 in [0, 1] on ``device``.

        Randomness comes only from ``generator``, a CPU generator that nothing else draws from.
        """
        ...


@dataclass(frozen=True)
class Scenario:
    """Images of patients to train on, in the scenario that will be tested.

    Attributes:
        patients: (N,) int64, each image's patient, 0..P-1.
        probe: gives images as the attacker holds them (for ``original-released``: originals).
        gallery: gives images as they are published (for ``original-released``: released, with a new draw per call,
            since a known mechanism can be run on one's own patients any number of times).
        size: width and height in pixels.

    An attacker makes no difference between scenarios: it always forms pairs of a probe view and a gallery view, with
    its own randomness (augmentation, sampling) drawn apart from that of the sides. So a defense that changes nothing
    leads, to the bit, to the training that no defense leads to, and ``identity`` is a control of the whole path.
    """

    patients: NDArray[np.int64]
    probe: Side
    gallery: Side
    size: int


@dataclass(frozen=True)
class Fixed:
    """Images of patients to validate on: one version each, the same at every epoch.

    Attributes:
        patients: (N,) int64.
        probe, gallery: (N, H, W) uint8; row i of both is image i, as held and as published.
    """

    patients: NDArray[np.int64]
    probe: NDArray[np.uint8]
    gallery: NDArray[np.uint8]


class Attacker(BaseModel, ABC):
    """A re-identification attacker. Its hyperparameters are its typed fields, its presets named sets of them.

    After :meth:`fit` or :meth:`load` it maps an image to a vector once, and scores pairs from vectors. An attacker that
    scores the two images of a pair jointly is a :class:`~reidbench.attackers.pairs.PairAttacker`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    #: Hyperparameters by preset name (``quick``, ``standard``, ``paper``).
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    #: Presets whose recipe has hyperparameters of its own, with the class of the same name that carries it out.
    recipes: ClassVar[dict[str, type[Attacker]]] = {}

    @classmethod
    def under(cls, preset: str) -> type[Attacker]:
        """The class that a preset trains: this one, or that of the preset's own recipe."""
        return cls.recipes.get(preset, cls)

    @abstractmethod
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
        """Trains. With ``start``, a file from :meth:`save`, goes on from those weights (the warm-started budget).

        ``work_dir`` holds checkpoints: called again with the same one after a kill, it goes on where it was.

        Raises:
            ReidbenchError: ``train`` holds no genuine pair or no impostor pair, ``start`` holds other weights, or
                ``work_dir`` the checkpoint of another training.
        """

    def fingerprint(self, train: Scenario, seed: int, start: Path | None) -> dict[str, Any]:
        """What determines a training, but for its length: the ``identity`` of :func:`reidbench.train`.

        A checkpoint of a training with another one is refused.
        """
        return {
            "attacker": self.name,
            "hyperparameters": self.model_dump_json(),
            "seed": str(seed),
            "images": hashlib.sha256(train.patients.tobytes()).hexdigest(),
            "size": str(train.size),
            "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else "",
        }

    @abstractmethod
    def embed(self, images: NDArray[np.uint8], *, device: torch.device) -> NDArray[np.float32]:
        """Maps images (N, H, W) uint8 to vectors (N, D), whatever the batch size inside."""

    @abstractmethod
    def score(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of pairs of vectors, (P, D) and (P, D) to (P,); higher means more likely one patient."""

    @abstractmethod
    def score_block(self, probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, D) and (G, D) to (Q, G), equal to :meth:`score`."""

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """P(same patient) of scores, in [0, 1], same shape; for figures at a threshold such as 0.5.

        The default is NaN throughout: an attacker that only ranks has no probability, and figures at a threshold are
        then undefined.
        """
        return np.full_like(scores, np.nan)

    @abstractmethod
    def save(self, path: Path) -> None:
        """Writes the weights (safetensors)."""

    @abstractmethod
    def load(self, path: Path, *, device: torch.device) -> None:
        """Reads weights that :meth:`save` wrote, strictly.

        Raises:
            ReidbenchError: the file is missing, or holds the weights of another attacker or of other hyperparameters.
        """
