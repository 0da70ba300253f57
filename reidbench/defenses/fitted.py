"""Defenses that learn from the train split before they publish anything."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PrivateAttr
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from reidbench.defenses.base import BaseDefense, CohortDefense, Defense
from reidbench.errors import ReidbenchError
from reidbench.progress import Progress

#: What a training leaves: one row per epoch, numbers by name.
History = list[dict[str, float]]


@dataclass(frozen=True)
class FitData:
    """What a defense may learn from: originals of the train split, never an image of another one.

    Attributes:
        pixels: (N, H, W) uint8; read-only, may be memory-mapped.
        patients: (N,) int64, each image's patient, 0..P-1.
        labels: (N, L) float32, the findings: 1, 0, or NaN where unknown. L is 0 where the dataset has none.
    """

    pixels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)


class BaseFittedDefense(BaseDefense):
    """What defenses share that train a network on the train split before they publish.

    The benchmark builds and fits it once per release seed, stores the weights, and loads them into a fresh instance:
    everything that was learned must be in :attr:`network`. Everything that determines the training must be an option.
    """

    _network: nn.Module | None = PrivateAttr(default=None)

    @abstractmethod
    def build(self) -> nn.Module:
        """The network without what it will learn: its shape follows from the options alone.

        Weights may be drawn from torch's global generator, which is seeded for it.
        """

    @abstractmethod
    def fit(
        self,
        network: nn.Module,
        data: FitData,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Progress | None = None,
    ) -> History:
        """Trains ``network`` in place. ``reidbench.train`` is a loop that keeps all of what is asked here.

        Args:
            network: from :meth:`build`, on the CPU; where it lies afterwards does not matter.
            data: the only images that it may see.
            seed: determines all randomness: two trainings with the same seed on a CPU give the same weights. No other
                step uses this seed. Torch's global generator is seeded with it as well, and restored afterwards.
            device: where to train.
            work_dir: a folder for checkpoints; called again with the same one after a kill, it goes on where it was.

        Returns:
            One row per epoch, numbers by name, for the record. They describe the training; they do not measure
            privacy, since the networks trained against are not the attackers that judge.

        Raises:
            ReidbenchError: it cannot learn from these images (no patient has two, no finding …), with the reason.
        """

    @property
    def network(self) -> nn.Module:
        """The fitted network, in evaluation mode, its weights frozen; gradients pass to what goes in.

        Raises:
            ReidbenchError: it is neither fitted nor loaded yet.
        """
        if self._network is None:
            raise ReidbenchError("it is neither fitted nor loaded yet")
        return self._network

    def fitted(self, network: nn.Module, device: torch.device) -> Self:
        """A copy of this defense that publishes with that network."""
        copy = self.model_copy()
        copy._network = network.to(device).eval().requires_grad_(False)
        return copy

    def save(self, path: Path) -> None:
        """Writes what was learned (safetensors)."""
        # Clones, since the format holds no tensor that shares its memory, nor one with channels last.
        weights = self.network.state_dict().items()
        save_file({name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights}, path)

    def load(self, path: Path, *, device: torch.device) -> Self:
        """A copy of this defense with what :meth:`save` wrote, read strictly.

        Raises:
            ReidbenchError: the file is missing, or holds the weights of another network.
        """
        with torch.random.fork_rng(devices=[]):
            network = self.build()
        try:
            network.load_state_dict(load_file(path), strict=True)
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ReidbenchError(f"{self.name}: {path} does not hold its weights: {reason}") from error
        return self.fitted(network, device)


class FittedDefense(BaseFittedDefense, Defense):
    """Trains a network on the train split, then works on an image at a time."""

    kind = "fitted"


class FittedCohortDefense(BaseFittedDefense, CohortDefense):
    """Trains a network on the train split, then works on the whole set that is published."""

    kind = "fitted cohort"
