"""Good defenses, and makers of such that each break one promise."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench import CohortDefense, Defense, Field, ReidbenchError


class Noise(Defense):
    """Does all as it should: what the broken ones differ from."""

    name = "noise"
    operating_points = {"mild": {"sigma": 0.05}, "severe": {"sigma": 0.5}}
    sigma: float = Field(0.1, ge=0, le=1, description="standard deviation")

    def transform(self, images, *, rng):
        return (images + self.sigma * rng.normal_like(images)).clamp(0, 1)


class Mean(CohortDefense):
    """Does all as it should: publishes the mean of the set."""

    name = "mean"

    def transform_cohort(self, pixels, patients, *, rng):
        if patients.max() == 0:
            raise ReidbenchError("one patient has nobody to hide among")
        return np.broadcast_to(pixels.mean(axis=0).round().astype(np.uint8), pixels.shape)


@pytest.fixture
def noise() -> type[Defense]:
    """An image defense that does all as it should."""
    return Noise


@pytest.fixture
def mean() -> type[CohortDefense]:
    """A cohort defense that does all as it should."""
    return Mean


@pytest.fixture
def of():
    """The one finding of a property."""

    def find(findings, name):
        (finding,) = (finding for finding in findings if finding.property == name)
        return finding

    return find


@pytest.fixture
def image_defense():
    """Makes an image defense of a function of (images, rng)."""

    def make(body):
        class Broken(Defense):
            name = "broken"

            def transform(self, images, *, rng):
                return body(images, rng)

        return Broken

    return make


@pytest.fixture
def cohort_defense():
    """Makes a cohort defense of a function of (pixels, patients, rng)."""

    def make(body):
        class Broken(CohortDefense):
            name = "broken"

            def transform_cohort(self, pixels, patients, *, rng):
                return body(pixels, patients, rng)

        return Broken

    return make
