"""The conformance suite against defenses that keep something from one release to the next."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import PrivateAttr
from torch import nn

from reidbench import CohortDefense, Defense, FittedDefense
from reidbench.conformance import broken, check_defense

BETWEEN = "between a used instance and a fresh one; input: "


class WarmUp(Defense):
    """Grows stronger in its first twenty calls."""

    name = "warm_up"
    _calls: int = PrivateAttr(0)

    def transform(self, images, *, rng):
        self._calls = min(self._calls + 1, 20)
        return images * (1 - self._calls / 40)


class Reference(Defense):
    """Shifts all to the brightness of the first image of that shape that it saw."""

    name = "reference"
    _levels: dict = PrivateAttr(default_factory=dict)

    def transform(self, images, *, rng):
        level = self._levels.setdefault(images.shape[2:], images[0].mean().item())
        return images / 2 + level / 4


class Cache(Defense):
    """Publishes an image that it knows as it did before, whatever its stream says."""

    name = "cache"
    _known: dict = PrivateAttr(default_factory=dict)

    def transform(self, images, *, rng):
        noisy = (images + 0.1 * rng.normal_like(images)).clamp(0, 1)
        rows = zip(images, noisy, strict=True)
        return torch.stack([self._known.setdefault(str(image.tolist()), made) for image, made in rows])


LAST_PLAIN = {"level": 0.0}


class LastPlain(Defense):
    """Takes its grey from the last plain image, and keeps it outside of any instance."""

    name = "last_plain"

    def transform(self, images, *, rng):
        if images.min() == images.max():
            LAST_PLAIN["level"] = images.max().item()
        return images / 2 + LAST_PLAIN["level"] / 2


class RunningMean(FittedDefense):
    """Its network takes the mean of what it sees first, as batch normalization in training does."""

    name = "running_mean"

    def build(self):
        network = nn.Conv2d(1, 1, 1)
        network.register_buffer("mean", torch.tensor(-1.0))
        return network

    def fit(self, network, data, *, seed, device, work_dir, progress=None):
        return [{}]

    def transform(self, images, *, rng):
        if self.network.mean < 0:
            self.network.mean.fill_(float(images.mean()))
        return images / 2 + self.network.mean / 4


class LastSet(CohortDefense):
    """Blends every set with the mean of the one before."""

    name = "last_set"
    _means: list = PrivateAttr(default_factory=lambda: [0.0, 0.0])

    def transform_cohort(self, pixels, patients, *, rng):
        if pixels.mean() != self._means[-1]:
            self._means.append(pixels.mean())
        return (pixels / 2 + self._means[-2] / 2).astype(np.uint8)


class FirstSet(CohortDefense):
    """Blends every set with the mean of the first one of that shape."""

    name = "first_set"
    _means: dict = PrivateAttr(default_factory=dict)

    def transform_cohort(self, pixels, patients, *, rng):
        return (pixels / 2 + self._means.setdefault(pixels.shape[1:], pixels.mean()) / 2).astype(np.uint8)


@pytest.mark.parametrize(
    ("cls", "what"),
    [
        (WarmUp, BETWEEN),
        (Reference, BETWEEN),
        (Cache, BETWEEN),
        (LastPlain, "after a release of 2 black images of 32×48; input: 2 inverted noisy images of 32×48"),
        (RunningMean, BETWEEN),
        (LastSet, "after a release of 24 smooth images of 32×32; input: 27 inverted noisy images of 32×32"),
        (FirstSet, BETWEEN),
    ],
)
def test_what_is_kept_from_one_release_to_the_next_is_found(cls, what: str) -> None:
    (finding,) = broken(check_defense(cls))
    assert finding.message.startswith(f"{cls.name}: state: image ")
    assert what in finding.message


def test_what_breaks_after_other_releases_is_a_finding(cohort_defense) -> None:
    sizes: list[int] = []

    def body(pixels, patients, rng):
        sizes.append(len(pixels))
        if 48 in sizes:
            raise RuntimeError("full")
        return pixels // 2

    (finding,) = broken(check_defense(cohort_defense(body)))
    assert finding.message.startswith("broken: state: transform_cohort() raised RuntimeError: full, where other")


def test_what_is_kept_of_the_options_alone_is_no_state() -> None:
    class Table(Defense):
        """Keeps a table that it makes at its first call, of nothing but its size."""

        name = "table"
        _tables: dict = PrivateAttr(default_factory=dict)

        def transform(self, images, *, rng):
            shape = tuple(images.shape[2:])
            if shape not in self._tables:
                self._tables[shape] = torch.linspace(0, 1, shape[1]).expand(shape)
            return images / 2 + self._tables[shape] / 2

    assert not broken(check_defense(Table))
