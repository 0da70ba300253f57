"""Releases of mechanisms that work on sets of patients, as published and as attackers run them on their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.defenses.base import CohortDefense
from reidbench.plugins import Found
from reidbench.progress import Silent
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import ATTACKERS_FIRST, ATTACKERS_OWN, COHORT_DRAWS, PUBLISHED, Release

SETS: list[np.ndarray] = []


class Crowd(CohortDefense):
    """Every image of a set becomes as light as the set has a number."""

    name = "crowd"

    def transform_cohort(self, pixels, patients, *, rng):
        SETS.append(patients.copy())
        return np.full_like(pixels, len(SETS))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return load_cohort(Phantom(patients=60), size=32, cache=tmp_path_factory.mktemp("cohort"), progress=Silent())


@pytest.fixture
def made(cohort, tmp_path):
    SETS.clear()
    parts = {split: cohort.part(split) for split in ("train", "val", "test")}
    found = Found("defense", Crowd.name, __name__, "tests", "1")
    return Release(
        Crowd(), found, parts, seed=0, cache=StepCache(tmp_path), device=torch.device("cpu"), progress=Silent()
    )


def patients(cohort, split):
    return cohort.part(split).frame["patient"].to_numpy()


def test_attackers_run_mechanisms_of_sets_on_sets_of_the_published_size(made, cohort):
    published, own = (np.unique(patients(cohort, split)) for split in ("test", "train"))
    count = len(own) // len(published)
    assert count > 1
    divided = []
    for draw in ATTACKERS_OWN:
        SETS.clear()
        pixels = made.images("train", draw).pixels
        numbers = pixels[:, 0, 0]
        held = [np.unique(patients(cohort, "train")[numbers == number]) for number in np.unique(numbers)]
        assert [len(one) for one in held] == [len(np.unique(one)) for one in SETS]
        # Every patient, with all images, is in one set of at least as many patients as are published, and few more.
        assert np.array_equal(np.sort(np.concatenate(held)), own)
        assert {len(one) for one in held} <= {len(own) // count, len(own) // count + 1}
        assert min(map(len, held)) >= len(published)
        divided.append(frozenset(frozenset(one.tolist()) for one in held))
    assert len(set(divided)) == COHORT_DRAWS


def test_what_is_published_and_what_validates_are_sets_of_their_own(made, cohort):
    for split in ("test", "val"):
        SETS.clear()
        made.images(split, PUBLISHED)
        assert [len(one) for one in SETS] == [len(cohort.part(split))]


def test_the_number_of_sets_names_the_release(made, cohort, tmp_path):
    few = {split: cohort.part(split) for split in ("train", "val", "test")}
    other = Release(
        Crowd(),
        made.found,
        {**few, "test": few["train"]},
        seed=0,
        cache=StepCache(tmp_path),
        device=torch.device("cpu"),
        progress=Silent(),
    )
    assert other.digest("train", ATTACKERS_FIRST) != made.digest("train", ATTACKERS_FIRST)
    assert other.digest("train", PUBLISHED) == made.digest("train", PUBLISHED)
