"""What fools an attacker trained on originals, and hides nothing: pitfall 1, the attacker who does not adapt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.harness.run import run
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import Rung
from reidbench.settings import make_settings

PLUGINS = Path(__file__).parent / "scramblers"
SCRAMBLERS = ("pixel_order", "inversion", "quarter_turn")


@pytest.fixture(scope="module")
def aucs(tmp_path_factory):
    """Verification AUC on random pairs by defense and knowledge: an original against the released set."""
    folder = tmp_path_factory.mktemp("scramblers")
    registry = Registry([PLUGINS])
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=folder / "cache",
        attackers=("retrieval",),
        overrides={
            "bootstrap_runs": "20",
            "retrieval.warm_epochs": "1",
            "retrieval.warm_min_steps": "30",
            "restorer.epochs": "1",
            "restorer.min_steps": "10",
            "classifier.epochs": "1",
            "classifier.min_steps": "2",
        },
        ladder=(Rung("ignorant", "original-released"), Rung("informed", "original-released")),
    )
    records = run(
        choose_dataset(registry, "phantom:patients=250", None),
        choose_defenses(registry, SCRAMBLERS),
        settings,
        seeds=[0],
        out=folder / "runs",
        strict=False,
        progress=Silent(),
        done=lambda record, path: None,
    )
    return {
        (record.defense.name, attack.knowledge): attack.metrics.auc.value
        for record in records
        for attack in record.attacks
        if attack.task == "verification" and attack.negatives == "random"
    }


@pytest.mark.slow
@pytest.mark.parametrize("defense", SCRAMBLERS)
def test_an_informed_attacker_sees_through_what_fools_an_ignorant_one(aucs, defense):
    assert aucs[defense, "ignorant"] < 0.65
    assert aucs[defense, "informed"] > aucs["undefended", "informed"] - 0.05
