"""An attacker undoes a defense in the way that errs less on its own validation patients, and the record says which."""

from __future__ import annotations

import pytest
import torch

from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.harness.run import run
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import Rung
from reidbench.settings import make_settings


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By defense: whether pixels were put back, and the AUC on random pairs by knowledge."""
    folder = tmp_path_factory.mktemp("put_back")
    registry = Registry()
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=folder / "cache",
        attackers=("plda",),
        overrides={
            "bootstrap_runs": "20",
            "restorer.epochs": "1",
            "restorer.min_steps": "10",
            "classifier.epochs": "1",
            "classifier.min_steps": "2",
        },
        size=32,
        ladder=(Rung("ignorant", "original-released"), Rung("inverting", "original-released")),
    )
    records = run(
        choose_dataset(registry, "phantom:patients=400", None),
        choose_defenses(registry, ["pixel_relocation:reach=1024", "gaussian_noise"]),
        settings,
        seeds=[0],
        out=folder / "runs",
        strict=False,
        progress=Silent(),
        done=lambda record, path: None,
    )
    return {
        record.defense.name: {
            attack.knowledge: (attack.restoration and attack.restoration.put_back, attack.metrics.auc.value)
            for attack in record.attacks
            if attack.attacker == "plda" and attack.task == "verification" and attack.negatives == "random"
        }
        for record in records
    }


def test_pixels_that_a_secret_key_moved_are_put_back(found):
    moved = found["pixel_relocation"]
    assert moved["inverting"][0] is True
    assert moved["inverting"][1] > moved["ignorant"][1] + 0.1
    assert moved["inverting"][1] > found["undefended"]["ignorant"][1] - 0.2


def test_noise_is_left_to_the_network(found):
    assert found["gaussian_noise"]["inverting"][0] is None
