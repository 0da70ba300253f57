"""Trainings of a record by name: those on originals once, whatever stands before them, and one for each scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench.records import ladder
from reidbench.records.store import read_record
from reidbench.report.site.evidence import trainings

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
TRAINED = ("informed, original-released", "informed, released-released")


@pytest.fixture
def record():
    """One in which every informed attacker gained by its training."""
    found = (read_record(path) for path in sorted(RECORDS.glob("gaussian_noise-*.json")))
    return next(one for one in found if one.dataset.title == "phantom" and one.defense.options["sigma"] == 0.25)


def attackers(record) -> set[str]:
    return {name for name in trainings(record) if not name.startswith(("restorer", "classifier"))}


def test_only_what_trains_on_the_release_is_named_by_its_scenario(record):
    assert attackers(record) == {f"{a}, {on}" for a in ("verification", "retrieval") for on in ("ignorant", *TRAINED)}


@pytest.mark.parametrize("trains", [True, False])
def test_so_it_is_with_a_rung_that_was_added(record, monkeypatch, trains):
    level = ladder.Level("added", ("restored",), trains=trains, models=False)
    monkeypatch.setattr(ladder, "LEVELS", (*ladder.LEVELS, level))
    attacks = [
        attack.model_copy(update={"knowledge": "added"}) if attack.knowledge in ("informed", "inverting") else attack
        for attack in record.attacks
    ]
    named = {name for name in attackers(record.model_copy(update={"attacks": attacks})) if name.startswith("retrieval")}
    assert "retrieval, ignorant" in named
    assert ("retrieval, added, released-released" in named) == trains
