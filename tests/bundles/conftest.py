"""A small bundle, trained for real in seconds."""

from __future__ import annotations

import pytest
import torch

from reidbench.choosing import choose_dataset
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.settings import make_settings
from reidbench.studies.bundle_training import Labels, train_bundle

#: Another seed than the cohorts' of the tests, so that they share no patient.
TRAINED_ON = "phantom:patients=40,seed=77"
OVERRIDES = {
    f"{attacker}.{option}": value
    for attacker in ("retrieval", "verification")
    for option, value in {
        "weights": "random",
        "backbone": "resnet_small_8",
        "dimensions": "32",
        "batch_size": "32",
        "epochs": "1",
        "min_steps": "60",
        "warm_epochs": "1",
        "warm_min_steps": "6",
    }.items()
}


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory):
    """The folder of a bundle with both attackers at 32²."""
    registry, folder = Registry(), tmp_path_factory.mktemp("bundle")
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=folder / "cache",
        size=32,
        overrides=OVERRIDES,
        command="reidbench attacker train …",
    )
    labels = Labels("small", "for tests", "none", "nobody")
    train_bundle(choose_dataset(registry, TRAINED_ON, None), settings, folder / "small", labels, progress=Silent())
    return folder / "small"
