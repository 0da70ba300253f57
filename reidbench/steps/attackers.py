"""Attackers as cached steps: trained in a scenario once, every image embedded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench.attackers.base import Attacker, Fixed, Scenario, Training
from reidbench.progress import Progress
from reidbench.records.schema import TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.cache import Step, StepCache
from reidbench.steps.releases import ATTACKERS_VALIDATION, Images, Published
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key


@dataclass(frozen=True)
class Trained:
    """An attacker with its weights.

    Attributes:
        attacker: ready to embed.
        step: where it came from.
        training: for the record.
    """

    attacker: Attacker
    step: Step
    training: TrainingInfo


def train_attacker(
    template: Attacker,
    probe: Published,
    gallery: Published,
    patients: dict[str, NDArray[np.int64]],
    *,
    settings: Settings,
    cache: StepCache,
    start: Trained | None,
    progress: Progress,
) -> Trained:
    """Trains an attacker in the scenario of these two kinds of images, or takes it from the cache.

    Args:
        template: untrained, with its hyperparameters.
        patients: (N,) by split, for ``train`` and ``val``.
        start: the attacker to go on from; its hyperparameters' warm-started budget holds.
    """
    key = {
        **training_key(template, settings, "reidbench.attackers", "reidbench.networks"),
        "probe": probe.key,
        "gallery": gallery.key,
        "start": start.step.digest if start else None,
    }

    def fit(checkpoints: Path) -> tuple[Attacker, Training]:
        attacker = template.model_copy()
        fixed = None
        if len(patients["val"]):
            held, published = (side.images("val", ATTACKERS_VALIDATION).pixels for side in (probe, gallery))
            fixed = Fixed(patients["val"], held, published)
        training = attacker.fit(
            Scenario(patients["train"], probe.side(), gallery.side(), settings.size),
            fixed,
            seed=settings.seed,
            device=settings.device,
            work_dir=checkpoints,
            start=start.step.path / WEIGHTS if start else None,
            progress=progress,
        )
        return attacker, training

    step = cached_training(cache, "attacker", key, fit, lambda attacker, path: attacker.save(path))
    attacker = template.model_copy()
    attacker.load(step.path / WEIGHTS, device=settings.device)
    return Trained(attacker, step, training_info(step, warm=start is not None))


def embed(trained: Trained, images: Images, *, settings: Settings, cache: StepCache) -> NDArray[np.float32]:
    """Vectors of images, (N, D), from the cache where they are known."""

    def make(folder: Path) -> None:
        np.save(folder / "vectors.npy", trained.attacker.embed(images.pixels, device=settings.device))

    step = cache.run("vectors", {"attacker": trained.step.digest, "images": images.digest}, make)
    return np.asarray(np.load(step.path / "vectors.npy"))
