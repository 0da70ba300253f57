"""reidbench: how well can an attacker still link a patient's images after an anonymization defense?

The names here are the public ones; each is imported when it is first used, since `reidbench --help` and a plugin's
listing must not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Attacker": "reidbench.attackers.base",
    "Cohort": "reidbench.cohorts.base",
    "Dataset": "reidbench.cohorts.base",
    "EmbeddingNet": "reidbench.networks.siamese",
    "FitData": "reidbench.defenses.fitted",
    "FittedDefense": "reidbench.defenses.fitted",
    "History": "reidbench.defenses.fitted",
    "Fitted": "reidbench.defenses.model",
    "LabelledImages": "reidbench.defenses.model",
    "ModelDefense": "reidbench.defenses.model",
    "PublishedNetwork": "reidbench.defenses.model",
    "Progress": "reidbench.progress",
    "CohortDefense": "reidbench.defenses.base",
    "Defense": "reidbench.defenses.base",
    "Privacy": "reidbench.defenses.base",
    "ReleaseRandom": "reidbench.defenses.random",
    "Source": "reidbench.cohorts.base",
    "Training": "reidbench.attackers.base",
    "Field": "pydantic",
    "PluginError": "reidbench.errors",
    "ReidbenchError": "reidbench.errors",
    "UnreadableImage": "reidbench.errors",
    "hookimpl": "reidbench.plugins",
    "learn": "reidbench.networks.simple_training",
    "masked_cross_entropy": "reidbench.networks.losses",
    "beats_frequencies": "reidbench.networks.losses",
    "round_grey": "reidbench.images",
    "to_pixels": "reidbench.images",
    "to_unit": "reidbench.images",
    "train": "reidbench.networks.training:run",
}

__all__ = [
    "Attacker",
    "Cohort",
    "CohortDefense",
    "Dataset",
    "Defense",
    "EmbeddingNet",
    "Field",
    "FitData",
    "FittedDefense",
    "History",
    "Fitted",
    "LabelledImages",
    "ModelDefense",
    "PluginError",
    "Privacy",
    "Progress",
    "PublishedNetwork",
    "ReidbenchError",
    "ReleaseRandom",
    "Source",
    "Training",
    "UnreadableImage",
    "__version__",
    "beats_frequencies",
    "hookimpl",
    "learn",
    "masked_cross_entropy",
    "round_grey",
    "to_pixels",
    "to_unit",
    "train",
]

if TYPE_CHECKING:
    from pydantic import Field

    from reidbench.attackers.base import Attacker, Training
    from reidbench.cohorts.base import Cohort, Dataset, Source
    from reidbench.defenses.base import CohortDefense, Defense, Privacy
    from reidbench.defenses.fitted import FitData, FittedDefense, History
    from reidbench.defenses.model import Fitted, LabelledImages, ModelDefense, PublishedNetwork
    from reidbench.defenses.random import ReleaseRandom
    from reidbench.errors import PluginError, ReidbenchError, UnreadableImage
    from reidbench.images import round_grey, to_pixels, to_unit
    from reidbench.networks.losses import beats_frequencies, masked_cross_entropy
    from reidbench.networks.siamese import EmbeddingNet
    from reidbench.networks.simple_training import learn
    from reidbench.networks.training import run as train
    from reidbench.plugins import hookimpl
    from reidbench.progress import Progress


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'reidbench' has no attribute {name!r}")
    module, _, other = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), other or name)
