"""The attacker on published vectors as a cached step: a siamese head trained once for a published model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench.attackers.base import Training
from reidbench.attackers.siamese_network import Siamese
from reidbench.attackers.vectors import fit_head, load_head, save_head
from reidbench.progress import Progress
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.finished import Step
from reidbench.steps.published_model import TrainedModel
from reidbench.steps.training import WEIGHTS, cached_training, training_info, training_key


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A trained head, and how it was trained."""

    model: Siamese
    training: TrainingInfo


def head_training(
    published: TrainedModel, patients: NDArray[np.int64], *, settings: Settings, cache: StepCache
) -> CachedStep:
    """The training of a head on the vectors of the training patients' images; read it with :func:`read_head`.

    Args:
        published: the model that gives the vectors.
        patients: (N,) of the training images.
    """
    options = settings.vector_head

    def fit(checkpoints: Path, progress: Progress) -> tuple[Siamese, Training]:
        return fit_head(
            options,
            published.vectors("train"),
            patients,
            seed=settings.seed,
            device=settings.device,
            work_dir=checkpoints,
            progress=progress,
        )

    key = training_key(options, settings, "reidbench.attackers", "reidbench.networks")
    return cached_training(cache, options.name, {**key, "model": published.training.digest}, fit, save_head)


def read_head(step: Step, published: TrainedModel, settings: Settings) -> TrainedHead:
    """The head of a finished training."""
    length = published.vectors("train").shape[1]
    return TrainedHead(load_head(settings.vector_head, length, step.path / WEIGHTS), training_info(step))
