"""The plans of the committed boards: no defense is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench.choosing import choose_defenses
from reidbench.defenses.model import ModelDefense
from reidbench.plugins import Registry
from reidbench.studies.sweep_plan import read_plan

PLANS = Path(__file__).parents[2] / "leaderboards" / "plans"


@pytest.fixture(scope="module")
def registry():
    return Registry()


def chosen(registry, name: str) -> list:
    return [one.defense for one in choose_defenses(registry, read_plan(PLANS / name, {}).texts())]


def of_kind(registry, *, models: bool) -> set[str]:
    named = {found.name for found in registry.found("defense")}
    return {name for name in named if issubclass(registry.get("defense", name), ModelDefense) == models}


@pytest.mark.parametrize("name", ["phantom.toml", "phantom-seeds.toml", "covid19.toml", "chestxray14.toml"])
def test_boards_of_images_have_every_defense_that_publishes_images(registry, name):
    assert {defense.name for defense in chosen(registry, name)} == of_kind(registry, models=False)


def test_the_board_of_models_has_every_defense_that_publishes_a_model(registry):
    assert {defense.name for defense in chosen(registry, "phantom-models.toml")} == of_kind(registry, models=True)


def test_the_phantom_s_board_has_every_operating_point_but_the_published_ones(registry):
    runs = chosen(registry, "phantom.toml")
    for name in of_kind(registry, models=False):
        points = set(registry.get("defense", name).operating_points) - {"published"}
        assert sum(defense.name == name for defense in runs) == max(len(points), 1), name


@pytest.mark.parametrize("name", ["phantom-seeds.toml", "covid19.toml", "chestxray14-seeds.toml"])
def test_three_seeds_are_three_seeds_and_controls_are_there(registry, name):
    assert read_plan(PLANS / name, {}).seeds == [0, 1, 2]
    assert {"identity", "blackout"} <= {defense.name for defense in chosen(registry, name)}
