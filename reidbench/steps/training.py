"""What every cached training has in common: its files, what decides it, and what the record keeps of it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from reidbench.errors import not_finite
from reidbench.files import content_digest
from reidbench.networks.history import Training
from reidbench.progress import Progress
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.source_version import code_version, source_digest
from reidbench.steps.cache import CachedStep, StepCache, hyperparameters
from reidbench.steps.finished import Step
from reidbench.threads import cpu_capability, one_thread

WEIGHTS = "weights.safetensors"
TRAINING = "training.json"
CHECKPOINTS = "checkpoints"

Model = TypeVar("Model")


def training_key(model: Any, settings: Settings, *code: str) -> dict[str, Any]:
    """What decides a training beside its data: hyperparameters, seed, code, and the arithmetic's own versions.

    Args:
        model: a pydantic model of hyperparameters with a ``name``.
        code: modules and packages whose code carries the training out.
    """
    return {
        "name": model.name,
        "options": hyperparameters(model),
        "source": source_digest(type(model)),
        "code": code_version(*code, "reidbench.images"),
        "seed": settings.seed,
        "device": settings.device.type,
        "torch": torch.__version__,
        # Another instruction set, or another number of threads, adds in another order, and trainings part ways.
        "cpu": cpu_capability() if settings.device.type == "cpu" else None,
    }


def threads_key() -> dict[str, Any]:
    """What decides a training with all threads of a CPU, beside what decides any."""
    return {"threads": torch.get_num_threads(), "cpu": cpu_capability()}


def cached_training(
    cache: StepCache,
    kind: str,
    key: Mapping[str, Any],
    fit: Callable[[Path, Progress], tuple[Model, Training]],
    save: Callable[[Model, Path], None],
    *,
    all_threads: bool = False,
) -> CachedStep:
    """A training as a cached step: weights in ``WEIGHTS``, what is known of the training in ``TRAINING``.

    Nothing is trained yet. Callers read the weights back from the step's folder, so that a cached run and a new one go
    the same way. On a CPU it has one thread, alone or beside others: a training with all threads would end elsewhere.

    Args:
        kind, key: of the step.
        fit: trains; it is given a folder for checkpoints, which holds those of an interrupted training, and is removed
            when the training is done.
        save: writes the trained model to a path. Files of its own go beside that path.
        all_threads: for long trainings that have the process to themselves; ``key`` has what :func:`threads_key` gives.
    """

    def write(folder: Path, progress: Progress) -> None:
        _drop_unreadable(folder / CHECKPOINTS)
        with nullcontext() if all_threads else one_thread():
            model, training = fit(folder / CHECKPOINTS, progress)
        save(model, folder / WEIGHTS)
        _check_finite(folder / WEIGHTS, str(key.get("name", kind)))
        write_training(training, folder / TRAINING)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)

    return CachedStep(cache, kind, key, write)


def _check_finite(weights: Path, name: str) -> None:
    """Refuses weights that are not finite, before a figure comes from them; what a plugin writes is its own.

    Raises:
        ReidbenchError: some are not.
    """
    try:
        tensors = load_file(weights)
    except SafetensorError:
        return
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise not_finite(name, "weights")


def _drop_unreadable(checkpoints: Path) -> None:
    """Removes the checkpoints of a training if one cannot be read, such as a full disk leaves: it begins again.

    The folder is the cache's own. In a folder that a user names, an unreadable checkpoint is an error. The readable
    ones go too: without the best weights so far the same training would end elsewhere.
    """
    if not all(map(_is_whole, checkpoints.rglob("*.ckpt"))):
        shutil.rmtree(checkpoints)


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def save_network(network: nn.Module, path: Path) -> None:
    """Writes a network's weights (safetensors)."""
    save_file({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, path)


def write_training(training: Training, path: Path) -> None:
    """Writes what is kept of a training."""
    path.write_text(json.dumps(asdict(training), indent=1))


def read_training(step: Step) -> Training:
    """What a finished training left of itself."""
    return Training(**json.loads((step.path / TRAINING).read_text()))


def training_info(step: Step, *, warm: bool = False) -> TrainingInfo:
    """What the record keeps of a finished training; ``warm``: it went on from weights of another one."""
    checkpoint = content_digest(step.path / WEIGHTS)
    return TrainingInfo(**asdict(read_training(step)), checkpoint_sha256=checkpoint, warm_start=warm)
