"""Settings that decide which pairs are judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.settings import make_settings


@pytest.fixture
def settings(tmp_path):
    def make(preset="quick", **overrides):
        return make_settings(Registry(), preset=preset, device=torch.device("cpu"), cache=tmp_path, overrides=overrides)

    return make


def test_the_seeds_recipe_judges_all_pairs_and_the_others_as_many_as_twelve_images_make(settings):
    assert [settings(preset).pairs_per_patient for preset in ("quick", "standard", "paper")] == [66, 66, None]
    assert settings("quick", pairs_per_patient="none").pairs_per_patient is None
    assert settings("paper", pairs_per_patient="9").pairs_per_patient == 9
    for wrong in ("0", "-3", "many"):
        with pytest.raises(ReidbenchError, match="at least 1"):
            settings(pairs_per_patient=wrong)


def test_no_patient_has_more_pairs_than_are_allowed(settings, tmp_path):
    cohort = load_cohort(Phantom(patients=60), size=32, cache=tmp_path)
    most = {}
    for cap in ("none", "20", "5"):
        experiment = Experiment(cohort, {}, settings(pairs_per_patient=cap), Silent())
        patients, held_out = experiment.patients["test"], experiment.patients["val"]
        for name, pairs, of in (
            ("random", experiment.pairs["random"], patients),
            ("matched", experiment.pairs["matched"], patients),
            ("validation", experiment.validation_pairs, held_out),
        ):
            most[name, cap] = np.bincount(of[pairs.a[pairs.same]]).max()
    assert most["random", "none"] > 20
    assert most["random", "20"] == 20
    assert most["random", "5"] == 5
    assert max(most["matched", "5"], most["validation", "5"]) <= 5
