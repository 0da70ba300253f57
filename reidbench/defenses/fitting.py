"""Fitting a defense: seeded, on the train split alone, and its promises checked where they can break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from reidbench.defenses.fingerprint import identity
from reidbench.defenses.fitted import BaseFittedDefense, FitData, History
from reidbench.defenses.random import stream_key, torch_seed
from reidbench.errors import PluginError, ReidbenchError
from reidbench.progress import Progress

Learner = TypeVar("Learner", bound=BaseFittedDefense)


def fit_defense(
    defense: Learner,
    data: FitData,
    *,
    seed: int,
    work_dir: Path,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> tuple[Learner, History]:
    """Builds and trains a defense's network.

    Args:
        defense: left as it is.
        data: originals of the train split; it gets them read-only.
        seed: the release seed. What the defense is given is a seed of its own, 63 bits made from it and the defense's
            name and options, with which no attacker draws.
        work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.

    Returns:
        A copy of the defense that is ready to publish, and the history of its training.

    Raises:
        ReidbenchError: the defense refuses these images, with its reason.
        PluginError: it raised, changed its data, left weights that are NaN or infinite, or returned no history; the
            message begins with its name.
    """
    device = device or torch.device("cpu")
    own = torch_seed(stream_key(seed, 0, identity(defense), purpose="fit"))
    given = replace(data, **{name: _locked(array) for name, array in vars(data).items()})
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(own)
            network = defense.build()
            history = defense.fit(network, given, seed=own, device=device, work_dir=work_dir, progress=progress)
    except ReidbenchError as error:
        raise ReidbenchError(f"{defense.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{defense.name}: fit() raised {type(error).__name__}: {error}") from error
    _check_history(defense.name, history)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginError(f"{defense.name}: fit() left NaN or infinite weights in {name}")
    return defense.fitted(network, device), history


def _locked(array: Any) -> Any:
    # A write into it raises; the caller's own array stays as it was.
    view = array.view()
    view.flags.writeable = False
    return view


def _check_history(name: str, history: Any) -> None:
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise PluginError(f"{name}: fit() must return its history, a dict an epoch, not {type(history).__name__}")
    for row in history:
        for key, value in row.items():
            if not isinstance(value, int | float):
                raise PluginError(f"{name}: fit() returned {key}={value!r} in its history, which is not a number")
