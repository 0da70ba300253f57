"""reidbench: how well can an attacker still link a patient's images after an anonymization defense?

The names here are the public ones; each is imported when it is first used, since `reidbench --help` and a plugin's
listing must not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from reidbench.public_names import origin

__version__ = "0.1.0"

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
    from reidbench.attackers.losses import BalancedPairs, Contrast, PairsAndContrast
    from reidbench.attackers.network import NetworkAttacker
    from reidbench.attackers.pairs import PairAttacker
    from reidbench.attackers.siamese import SiameseAttacker
    from reidbench.attackers.siamese_network import Batch, Objective, Siamese
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
    from reidbench.networks.trainer import run as train
    from reidbench.networks.training import seed_of
    from reidbench.plugins import hookimpl
    from reidbench.progress import Progress


def __getattr__(name: str) -> Any:
    module, _, other = origin(name).partition(":")
    if not module:
        raise AttributeError(f"module 'reidbench' has no attribute {name!r}")
    return getattr(importlib.import_module(module), other)
