"""Where the public names of reidbench are defined; read by what imports them, and by what reads source instead."""

from __future__ import annotations

_WHERE = {
    "Attacker": "reidbench.attackers.base",
    "BalancedPairs": "reidbench.attackers.losses",
    "Batch": "reidbench.attackers.siamese_network",
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
    "Objective": "reidbench.attackers.siamese_network",
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
    "Siamese": "reidbench.attackers.siamese_network",
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
    "train": "reidbench.networks.trainer:run",
    "write_file": "reidbench.files",
}


def origin(name: str) -> str:
    """Where a public name is defined: ``module:name``; empty where there is none of this name."""
    module, _, other = _WHERE.get(name, "").partition(":")
    return f"{module}:{other or name}" if module else ""
