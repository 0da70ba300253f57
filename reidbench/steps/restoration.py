"""Releases with the defense undone, as far as a network can that the attacker trained on its own patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reidbench.attackers.base import Scenario, Side, Training
from reidbench.attackers.inversion import fit_restorer, load_restorer, restore, restore_batch, save_restorer
from reidbench.networks.precision import in_full
from reidbench.networks.restorer import Restorer
from reidbench.progress import Progress
from reidbench.records.schema import DefenseInfo, TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.cache import Step, StepCache
from reidbench.steps.releases import PUBLISHED, Images, Published
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key


@dataclass(frozen=True)
class _RestoredSide:
    """A side of a scenario, seen through a restoration network."""

    released: Side
    network: nn.Module

    def __call__(self, index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        """Restored images of these rows."""
        # As in the test, whatever precision the attacker behind it is trained in; and on each process's own device.
        with in_full(device):
            return restore_batch(self.network.to(device), self.released(index, generator=generator, device=device))


class Restored(Published):
    """What an attacker makes of a release by a restoration network; trained when it is first asked for.

    Args:
        originals: of the attacker's own patients.
        published: what is to be undone.
        patients: (N,) of the training images.
    """

    def __init__(
        self,
        originals: Published,
        published: Published,
        patients: NDArray[np.int64],
        *,
        settings: Settings,
        cache: StepCache,
    ) -> None:
        self._originals = originals
        self._published = published
        self.name = published.name
        self._patients = patients
        self._settings = settings
        self._cache = cache
        self.key = {
            **training_key(settings.restorer, settings, "reidbench.attackers.inversion", "reidbench.networks"),
            "probe": originals.key,
            "gallery": published.key,
        }

    def train(self, *, progress: Progress) -> TrainingInfo:
        """How the restoration network was trained; trains it, if that isn't done."""
        return training_info(self._step(progress))

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The restored images of a split."""
        step = self._step(None)
        released = self._published.images(split, draw)

        def make(folder: Path) -> None:
            network = load_restorer(self._settings.restorer, step.path / WEIGHTS)
            np.save(folder / "pixels.npy", restore(network, released.pixels, device=self._settings.device))

        made = self._cache.run("restored", {"restorer": step.digest, "images": released.digest}, make)
        return Images(np.load(made.path / "pixels.npy", mmap_mode="r"), made.digest)

    def side(self) -> Side:
        """The training patients' images, through the mechanism afresh and restored."""
        step = self._step(None)
        network = load_restorer(self._settings.restorer, step.path / WEIGHTS).to(self._settings.device).eval()
        return _RestoredSide(self._published.side(), network)

    def info(self) -> DefenseInfo:
        """What was restored."""
        return self._published.info()

    def _step(self, progress: Progress | None) -> Step:
        def fit(checkpoints: Path) -> tuple[Restorer, Training]:
            return fit_restorer(
                self._settings.restorer,
                Scenario(self._patients, self._originals.side(), self._published.side(), self._settings.size),
                seed=self._settings.seed,
                device=self._settings.device,
                work_dir=checkpoints,
                progress=progress,
            )

        return cached_training(self._cache, "restorer", self.key, fit, save_restorer)
