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
    "BalancedPairs": "reidbench.attackers.losses",
    "Batch": "reidbench.attackers.lightning_module",
    "Cohort": "reidbench.cohorts.base",
    "CohortDefense": "reidbench.defenses.base",
    "Contrast": "reidbench.attackers.losses",
    "Dataset": "reidbench.cohorts.base",
    "Defense": "reidbench.defenses.base",
    "EmbeddingNet": "reidbench.networks.architectures.siamese",
    "Field": "pydantic",
    "FitData": "reidbench.defenses.fitted",
    "Fitted": "reidbench.defenses.model",
    "FittedCohortDefense": "reidbench.defenses.fitted",
    "FittedDefense": "reidbench.defenses.fitted",
    "Fixed": "reidbench.attackers.base",
    "History": "reidbench.defenses.fitted",
    "LabelledImages": "reidbench.defenses.model",
    "ModelDefense": "reidbench.defenses.model",
    "NetworkAttacker": "reidbench.attackers.network",
    "NormalizedDistance": "reidbench.attackers.heads",
    "Objective": "reidbench.attackers.lightning_module",
    "PairAttacker": "reidbench.attackers.pairs",
    "PairHead": "reidbench.attackers.heads",
    "PairNetworkAttacker": "reidbench.attackers.joint",
    "PairsAndContrast": "reidbench.attackers.losses",
    "PatientBatches": "reidbench.networks.samplers",
    "PluginError": "reidbench.errors",
    "Privacy": "reidbench.defenses.base",
    "Progress": "reidbench.progress",
    "PublishedNetwork": "reidbench.defenses.model",
    "ReidbenchError": "reidbench.errors",
    "ReleaseRandom": "reidbench.defenses.random",
    "ScaledDifference": "reidbench.attackers.heads",
    "Scenario": "reidbench.attackers.base",
    "Siamese": "reidbench.attackers.lightning_module",
    "SiameseAttacker": "reidbench.attackers.siamese",
    "Side": "reidbench.attackers.base",
    "SigmoidDifference": "reidbench.attackers.heads",
    "Source": "reidbench.cohorts.base",
    "Training": "reidbench.attackers.base",
    "UnreadableImage": "reidbench.errors",
    "beats_frequencies": "reidbench.networks.losses",
    "embed_images": "reidbench.networks.architectures.siamese",
    "hookimpl": "reidbench.plugins",
    "learn": "reidbench.networks.simple_training",
    "masked_cross_entropy": "reidbench.networks.losses",
    "round_grey": "reidbench.images",
    "seed_of": "reidbench.networks.training",
    "to_pixels": "reidbench.images",
    "to_unit": "reidbench.images",
    "train": "reidbench.networks.training:run",
    "write_file": "reidbench.files",
}

__all__ = [
    "Attacker",
    "BalancedPairs",
    "Batch",
    "Cohort",
    "CohortDefense",
    "Contrast",
    "Dataset",
    "Defense",
    "EmbeddingNet",
    "Field",
    "FitData",
    "Fitted",
    "FittedCohortDefense",
    "FittedDefense",
    "Fixed",
    "History",
    "LabelledImages",
    "ModelDefense",
    "NetworkAttacker",
    "NormalizedDistance",
    "Objective",
    "PairAttacker",
    "PairHead",
    "PairNetworkAttacker",
    "PairsAndContrast",
    "PatientBatches",
    "PluginError",
    "Privacy",
    "Progress",
    "PublishedNetwork",
    "ReidbenchError",
    "ReleaseRandom",
    "ScaledDifference",
    "Scenario",
    "Siamese",
    "SiameseAttacker",
    "Side",
    "SigmoidDifference",
    "Source",
    "Training",
    "UnreadableImage",
    "__version__",
    "beats_frequencies",
    "embed_images",
    "hookimpl",
    "learn",
    "masked_cross_entropy",
    "round_grey",
    "seed_of",
    "to_pixels",
    "to_unit",
    "train",
    "write_file",
]

if TYPE_CHECKING:
    from pydantic import Field

    from reidbench.attackers.base import Attacker, Fixed, Scenario, Side, Training
    from reidbench.attackers.heads import NormalizedDistance, PairHead, ScaledDifference, SigmoidDifference
    from reidbench.attackers.joint import PairNetworkAttacker
    from reidbench.attackers.lightning_module import Batch, Objective, Siamese
    from reidbench.attackers.losses import BalancedPairs, Contrast, PairsAndContrast
    from reidbench.attackers.network import NetworkAttacker
    from reidbench.attackers.pairs import PairAttacker
    from reidbench.attackers.siamese import SiameseAttacker
    from reidbench.cohorts.base import Cohort, Dataset, Source
    from reidbench.defenses.base import CohortDefense, Defense, Privacy
    from reidbench.defenses.fitted import FitData, FittedCohortDefense, FittedDefense, History
    from reidbench.defenses.model import Fitted, LabelledImages, ModelDefense, PublishedNetwork
    from reidbench.defenses.random import ReleaseRandom
    from reidbench.errors import PluginError, ReidbenchError, UnreadableImage
    from reidbench.files import write_file
    from reidbench.images import round_grey, to_pixels, to_unit
    from reidbench.networks.architectures.siamese import EmbeddingNet, embed_images
    from reidbench.networks.losses import beats_frequencies, masked_cross_entropy
    from reidbench.networks.samplers import PatientBatches
    from reidbench.networks.simple_training import learn
    from reidbench.networks.training import run as train
    from reidbench.networks.training import seed_of
    from reidbench.plugins import hookimpl
    from reidbench.progress import Progress


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'reidbench' has no attribute {name!r}")
    module, _, other = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), other or name)
