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
from reidbench.networks.architectures.restorer import Restorer
from reidbench.networks.precision import in_full
from reidbench.progress import Progress, Silent
from reidbench.records.parts.provenance import DefenseInfo
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.releases import PUBLISHED, ArraySide, Images, Published
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key
from reidbench.threads import one_thread


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
        self.training = self._training()

    def train(self, *, progress: Progress) -> TrainingInfo:
        """How the restoration network was trained; trains it, if that isn't done."""
        return training_info(self.training.make(progress))

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The restored images of a split."""
        made = self._restored(split, draw).make(Silent())
        return Images(np.load(made.path / "pixels.npy", mmap_mode="r"), made.digest)

    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """Of the step that makes these images."""
        return self._restored(split, draw).digest

    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """The release, the restoration network's training, and its passes over the images."""
        return [*self.training_steps(), *self._published.steps(split, draw), self._restored(split, draw)]

    def training_steps(self) -> list[CachedStep]:
        """What the restoration network's training takes, itself the last."""
        return [*self._originals.side_steps(), *self._published.side_steps(), self.training]

    def _restored(self, split: str, draw: int) -> CachedStep:
        def write(folder: Path, progress: Progress) -> None:
            network = load_restorer(self._settings.restorer, self.training.make(progress).path / WEIGHTS)
            released = self._published.images(split, draw).pixels
            with one_thread():
                np.save(folder / "pixels.npy", restore(network, released, device=self._settings.device))

        key = {"restorer": self.training.digest, "images": self._published.digest(split, draw)}
        return CachedStep(self._cache, "restored", key, write)

    def side(self) -> Side:
        """The training patients' images, restored; through the mechanism afresh first where it draws.

        Where it doesn't, images are restored once: trainings see each of them many times.
        """
        if draws := self.side_draws():
            return ArraySide(tuple(self.images("train", draw).pixels for draw in draws))
        step = self.training.make(Silent())
        network = load_restorer(self._settings.restorer, step.path / WEIGHTS).to(self._settings.device).eval()
        return _RestoredSide(self._published.side(), network)

    def side_steps(self) -> list[CachedStep]:
        """The restoration network's training and what it takes, and its passes over images that do not change."""
        passes = [step for draw in self.side_draws() for step in self.steps("train", draw)]
        return list({step.digest: step for step in [*self.training_steps(), *passes]}.values())

    def side_draws(self) -> tuple[int, ...]:
        """Those of what is restored."""
        return self._published.side_draws()

    def info(self) -> DefenseInfo:
        """What was restored."""
        return self._published.info()

    def _training(self) -> CachedStep:
        def fit(checkpoints: Path, progress: Progress) -> tuple[Restorer, Training]:
            return fit_restorer(
                self._settings.restorer,
                Scenario(self._patients, self._originals.side(), self._published.side(), self._settings.size),
                seed=self._settings.seed,
                device=self._settings.device,
                work_dir=checkpoints,
                progress=progress,
            )

        return cached_training(self._cache, "restorer", self.key, fit, save_restorer)
