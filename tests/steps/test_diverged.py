"""A training that diverged ends a run in one line: no figure comes from numbers that are not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench.attackers.inversion import restore
from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.errors import ReidbenchError
from reidbench.harness.run import run
from reidbench.networks.architectures.restorer import Restorer
from reidbench.networks.history import Training
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import Rung
from reidbench.settings import make_settings
from reidbench.steps.cache import StepCache
from reidbench.steps.training import cached_training, save_network

CPU = torch.device("cpu")
SHORT = {"bootstrap_runs": "20"} | {
    f"{network}.{option}": "2"
    for network in ("retrieval", "classifier")
    for option in ("epochs", "min_steps", "max_steps")
}


@pytest.mark.parametrize("network", ["retrieval", "classifier"])
def test_a_run_ends_in_one_line_and_without_a_record(tmp_path, network):
    registry = Registry()
    settings = make_settings(
        registry,
        preset="quick",
        device=CPU,
        cache=tmp_path / "cache",
        attackers=("retrieval",),
        overrides={**SHORT, f"{network}.lr": "1e30"},
        size=32,
        ladder=(Rung("ignorant", "original-released"),),
    )
    cohort = choose_dataset(registry, "phantom:patients=24", None)
    out = tmp_path / "runs"
    with pytest.raises(ReidbenchError, match=f"^{network}: [a-z]+ are not finite: its training diverged"):
        run(
            cohort,
            choose_defenses(registry, ["gaussian_noise"]),
            settings,
            seeds=[0],
            out=out,
            strict=False,
            progress=Silent(),
            done=lambda record, path: None,
        )
    assert not list(out.glob("gaussian_noise*"))


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    network = nn.Linear(2, 1)

    def make():
        return cached_training(
            StepCache(tmp_path),
            "restorer",
            {"name": "restorer"},
            lambda checkpoints, progress: (network, Training(1, 1, 0.0, [], learned=True)),
            save_network,
        ).make(Silent())

    with torch.no_grad():
        network.weight[0, 1] = torch.inf
    with pytest.raises(ReidbenchError, match=r"^restorer: weights are not finite"):
        make()
    with torch.no_grad():
        network.weight[0, 1] = 0
    assert make().fresh


def test_restored_images_that_are_not_finite_are_refused():
    network = Restorer(4)
    nn.init.constant_(network.last.weight, torch.nan)
    with pytest.raises(ReidbenchError, match=r"^restorer: restored images are not finite"):
        restore(network, np.full((2, 8, 8), 100, dtype=np.uint8), device=CPU)
