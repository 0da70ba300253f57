"""What an attacker behind a restoration network is trained on."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench.attackers import inversion
from reidbench.attackers.inversion import RestorerOptions
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.defenses.base import Defense
from reidbench.plugins import Found, Registry
from reidbench.progress import Silent
from reidbench.settings import make_settings
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import ArraySide, Originals, Release
from reidbench.steps.restoration import CODE, Restored, _RestoredSide

CPU = torch.device("cpu")
ROWS = np.arange(0, 70, 2)


class Faded(Defense):
    """Less contrast: pixels stay where they are."""

    name = "faded"
    deterministic = True

    def transform(self, images, *, rng):
        return 0.3 * images + 0.6


class Faint(Defense):
    """Faint noise."""

    name = "faint"

    def transform(self, images, *, rng):
        return (images + 0.05 * rng.uniform_like(images)).clamp(0, 1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    cohort = load_cohort(Phantom(patients=60), size=32, cache=tmp_path_factory.mktemp("cohort"), progress=Silent())
    return {split: cohort.part(split) for split in ("train", "val", "test")}


def restored(defense, parts, folder):
    settings = make_settings(
        Registry(),
        preset="quick",
        device=CPU,
        cache=folder,
        size=32,
        overrides={f"restorer.{name}": value for name, value in SHORT.items()},
    )
    assert isinstance(settings.restorer, RestorerOptions)
    cache, found = StepCache(folder), Found("defense", defense.name, __name__, "tests", "1")
    release = Release(defense, found, parts, seed=0, cache=cache, device=CPU, progress=Silent())
    patients = parts["train"].frame["patient"].to_numpy()
    return release, Restored(Originals(parts), release, patients, settings=settings, cache=cache)


SHORT = {"width": "8", "epochs": "1", "min_steps": "5", "rank": "50"}


def test_where_a_defense_draws_nothing_each_image_is_restored_once(parts, tmp_path):
    release, view = restored(Faded(), parts, tmp_path)
    for step in view.side_steps():
        step.make(Silent())
    made = {path.parent.parent.name for path in tmp_path.glob("*/*/step.json")}
    assert made == {"release", "restorer", "undoing", "restored"}
    side = view.side()
    assert isinstance(side, ArraySide)
    found = side(ROWS, generator=torch.Generator(), device=CPU)
    # As afresh, but for the rounding of batches of another size.
    network = _network(view)
    afresh = _RestoredSide(release.side(), network)(ROWS, generator=torch.Generator(), device=CPU)
    assert (found - afresh).abs().max() <= 1.01 / 255
    assert (found - afresh).ne(0).float().mean() < 0.01
    assert (found - release.side()(ROWS, generator=torch.Generator(), device=CPU)).abs().mean() > 0.05


def test_where_a_defense_draws_its_images_are_made_and_restored_at_each_call(parts, tmp_path):
    _, view = restored(Faint(), parts, tmp_path)
    for step in view.side_steps():
        step.make(Silent())
    assert {path.parent.parent.name for path in tmp_path.glob("*/*/step.json")} == {"restorer"}
    side = view.side()
    one, two = (side(ROWS, generator=torch.Generator().manual_seed(seed), device=CPU) for seed in (1, 2))
    assert not torch.equal(one, two)


def _network(view):
    from reidbench.attackers.inversion import load_restorer

    options = RestorerOptions(
        **{name: float(value) if name == "epochs" else int(value) for name, value in SHORT.items()}
    )
    return load_restorer(options, view.training.read().path / "weights.safetensors").eval()


def test_a_restorer_is_trained_anew_where_the_code_of_its_training_changes():
    """What trains it is imported late, where no list of a module's imports would find it."""
    tree = ast.parse(Path(inversion.__file__).read_text("utf-8"))
    sources = {found.module for found in ast.walk(tree) if isinstance(found, ast.ImportFrom)}
    learners = {source for source in sources if source.startswith("reidbench.attackers.learners")}
    assert learners
    assert learners <= set(CODE)
