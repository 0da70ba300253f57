"""A fitted defense's training as a cached step: trained once for a release seed, and gone on with after a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidbench.cohorts.base import Cohort
from reidbench.defenses.fitted import BaseFittedDefense, FitData
from reidbench.defenses.fitting import fit_defense
from reidbench.files import content_digest
from reidbench.networks.history import Training
from reidbench.progress import Progress
from reidbench.records.parts.provenance import FittingInfo
from reidbench.source_version import code_version
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.finished import Step
from reidbench.steps.training import WEIGHTS, cached_training, read_training, threads_key

STEP = "fit"


@dataclass(frozen=True)
class Fit:
    """A defense that has learned.

    Attributes:
        defense: ready to publish.
        info: how it was trained, for the record.
    """

    defense: BaseFittedDefense
    info: FittingInfo


def fitting_key() -> dict[str, Any]:
    """What decides a fitted defense's release beside what decides any: the loop that it may use, and its threads."""
    return {"code": code_version("reidbench.networks"), **threads_key()}


def fit_data(train: Cohort) -> FitData:
    """A cohort's train split as a defense gets it."""
    labels = train.frame[list(train.labels)].to_numpy(dtype=np.float32)
    return FitData(train.pixels, train.frame["patient"].to_numpy(dtype=np.int64), labels)


def fitting(
    defense: BaseFittedDefense,
    train: Cohort,
    key: Mapping[str, Any],
    *,
    seed: int,
    cache: StepCache,
    device: torch.device,
) -> CachedStep:
    """A defense's training on the train split; read it with :func:`read_fit`.

    Args:
        defense: as it was asked for, untrained.
        key: of its release, which determines the training too.
        seed: the release seed.
    """

    def make(checkpoints: Path, progress: Progress) -> tuple[BaseFittedDefense, Training]:
        data = fit_data(train)
        began = time.monotonic()
        fitted, history = fit_defense(defense, data, seed=seed, device=device, work_dir=checkpoints, progress=progress)
        seconds = time.monotonic() - began
        # What a defense trains on, and whether it learned, is its own affair: the history says what it reported.
        return fitted, Training(len(history), 0, seconds, history, learned=True)

    return cached_training(cache, STEP, key, make, lambda fitted, path: fitted.save(path), all_threads=True)


def read_fit(step: Step, defense: BaseFittedDefense, train: Cohort, *, device: torch.device) -> Fit:
    """A defense with the weights of its finished training."""
    history = read_training(step).history
    info = FittingInfo(
        images=len(train),
        patients=int(train.frame["patient"].nunique()),
        epochs=len(history),
        seconds=round(step.seconds, 2),
        checkpoint_sha256=content_digest(step.path / WEIGHTS),
        history=history,
    )
    return Fit(defense.load(step.path / WEIGHTS, device=device), info)


def recall(
    defense: BaseFittedDefense, key: Mapping[str, Any], sha256: str, *, cache: StepCache, device: torch.device
) -> BaseFittedDefense | None:
    """A defense with the weights that a record names, None where they are no longer in the cache; never trains."""
    step = cache.known(STEP, key)
    if step is None or content_digest(step.path / WEIGHTS) != sha256:
        return None
    return defense.load(step.path / WEIGHTS, device=device)
