"""Releases with the defense undone, by a network trained on the attacker's own patients or by pixels' statistics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reidbench.attackers.base import Scenario, Side, Training
from reidbench.attackers.inversion import WORTH, fit_restorer, load_restorer, restore, restore_batch, save_restorer
from reidbench.attackers.rearranging import put_back, rearranged
from reidbench.networks.architectures.restorer import Restorer
from reidbench.networks.precision import in_full
from reidbench.progress import Progress, Silent
from reidbench.records.parts.provenance import DefenseInfo
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.source_version import code_version
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, ArraySide, Images, Published
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key
from reidbench.threads import one_thread

#: The code that trains a restoration network.
CODE = ("reidbench.attackers.inversion", "reidbench.attackers.learners.restorer", "reidbench.networks")
_UNDOING = "undoing.json"


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

    Where pixels are elsewhere in a release, an attacker can put them back by their statistics in all of its images. On
    a release of its own validation patients it sees which of the two errs less, by a tenth or more: the network is kept
    otherwise. Batches of a training,
    which have a key each, are seen through the network.

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
            **training_key(settings.restorer, settings, *CODE),
            "probe": originals.key,
            "gallery": published.key,
        }
        self.training = self._training()

    def train(self, *, progress: Progress) -> TrainingInfo:
        """How the restoration network was trained; trains it, if that isn't done."""
        return training_info(self.training.make(progress))

    def restoration(self) -> TrainingInfo:
        """How the network was trained, and whether pixels were put back in its place, from steps that are made."""
        found = training_info(self.training.read())
        return found.model_copy(update={"put_back": True}) if _puts_back(self._undoing.read().path) else found

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The restored images of a split."""
        made = self._restored(split, draw).make(Silent())
        return Images(np.load(made.path / "pixels.npy", mmap_mode="r"), made.digest)

    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """Of the step that makes these images."""
        return self._restored(split, draw).digest

    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """The release, the restoration network's training, and its passes over the images."""
        tried = self._published.steps("val", ATTACKERS_VALIDATION)
        released = self._published.steps(split, draw)
        return [*self.training_steps(), *tried, self._undoing, *released, self._restored(split, draw)]

    def training_steps(self) -> list[CachedStep]:
        """What the restoration network's training takes, itself the last."""
        return [*self._originals.side_steps(), *self._published.side_steps(), self.training]

    def _restored(self, split: str, draw: int) -> CachedStep:
        def write(folder: Path, progress: Progress) -> None:
            released = self._published.images(split, draw).pixels
            with one_thread():
                if _puts_back(self._undoing.make(progress).path):
                    pixels = put_back(self._originals.images("train").pixels, released)
                else:
                    pixels = self._by_network(released, progress)
                np.save(folder / "pixels.npy", pixels)

        key = {"undoing": self._undoing.digest, "images": self._published.digest(split, draw)}
        return CachedStep(self._cache, "restored", key, write)

    def _by_network(self, released: NDArray[np.uint8], progress: Progress) -> NDArray[np.uint8]:
        network = load_restorer(self._settings.restorer, self.training.make(progress).path / WEIGHTS)
        return restore(network, released, device=self._settings.device)

    @cached_property
    def _undoing(self) -> CachedStep:
        """Whether pixels are put back, and the mean absolute errors that decide it, in units of the range."""

        def write(folder: Path, progress: Progress) -> None:
            own, wanted = (self._originals.images(split).pixels for split in ("train", "val"))
            released = self._published.images("val", ATTACKERS_VALIDATION).pixels
            found: dict[str, bool | float] = {"put_back": False}
            if rearranged(own, released):
                with one_thread():
                    network = _error(self._by_network(released, progress), wanted)
                    moved = _error(put_back(own, released), wanted)
                found = {"put_back": moved < (1 - WORTH) * network, "network": network, "moved": moved}
            (folder / _UNDOING).write_text(json.dumps(found))

        key = {
            "restorer": self.training.digest,
            "own": self._originals.digest("train"),
            "wanted": self._originals.digest("val"),
            "images": self._published.digest("val", ATTACKERS_VALIDATION),
            "code": code_version("reidbench.attackers.rearranging"),
        }
        return CachedStep(self._cache, "undoing", key, write)

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


def _puts_back(folder: Path) -> bool:
    return bool(json.loads((folder / _UNDOING).read_text())["put_back"])


def _error(made: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    return float(np.abs(made.astype(np.int16) - wanted).mean()) / 255
