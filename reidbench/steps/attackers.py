"""Attackers as cached steps: trained in a scenario once, every image embedded once."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.attackers.base import Attacker, Fixed, Scenario, Training
from reidbench.files import content_digest
from reidbench.progress import Progress
from reidbench.records.schema import TrainingInfo
from reidbench.settings import Settings
from reidbench.source_version import code_version, source_digest
from reidbench.steps.cache import Step, StepCache, hyperparameters
from reidbench.steps.releases import ATTACKERS_VALIDATION, Images, Published

WEIGHTS = "weights.safetensors"
TRAINING = "training.json"
CHECKPOINTS = "checkpoints"


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


def training_key(model: Any, settings: Settings, *code: str) -> dict[str, Any]:
    """What decides a training beside its data: hyperparameters, seed, code, and the arithmetic's own versions."""
    return {
        "name": model.name,
        "options": hyperparameters(model),
        "source": source_digest(type(model)),
        "code": code_version(*code),
        "seed": settings.seed,
        "device": settings.device.type,
        "torch": torch.__version__,
    }


def training_info(kept: Path, weights: Path, *, warm: bool) -> TrainingInfo:
    """What the record keeps of a training, from the files that its step left."""
    training = json.loads(kept.read_text())
    return TrainingInfo(**training, checkpoint_sha256=content_digest(weights), warm_start=warm)


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
    attacker = template.model_copy()

    def make(folder: Path) -> None:
        fixed = None
        if len(patients["val"]):
            held, published = (side.images("val", ATTACKERS_VALIDATION).pixels for side in (probe, gallery))
            fixed = Fixed(patients["val"], held, published)
        training: Training = attacker.fit(
            Scenario(patients["train"], probe.side(), gallery.side(), settings.size),
            fixed,
            seed=settings.seed,
            device=settings.device,
            work_dir=folder / CHECKPOINTS,
            start=start.step.path / WEIGHTS if start else None,
            progress=progress,
        )
        attacker.save(folder / WEIGHTS)
        (folder / TRAINING).write_text(json.dumps(asdict(training), indent=1))
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)

    step = cache.run("attacker", key, make)
    # Weights are always read back from the file, so that a cached run and a fresh one go the same way.
    attacker = template.model_copy()
    attacker.load(step.path / WEIGHTS, device=settings.device)
    info = training_info(step.path / TRAINING, step.path / WEIGHTS, warm=start is not None)
    return Trained(attacker, step, info)


def embed(trained: Trained, images: Images, *, settings: Settings, cache: StepCache) -> NDArray[np.float32]:
    """Vectors of images, (N, D), from the cache where they are known."""

    def make(folder: Path) -> None:
        np.save(folder / "vectors.npy", trained.attacker.embed(images.pixels, device=settings.device))

    step = cache.run("vectors", {"attacker": trained.step.digest, "images": images.digest}, make)
    return np.asarray(np.load(step.path / "vectors.npy"))
