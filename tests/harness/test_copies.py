"""Copies of training patients: found in a defense that publishes its training images, and in no honest one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from reidbench import FittedDefense
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.harness.questions.copies import judge_copies
from reidbench.images import to_unit
from reidbench.plugins import Found
from reidbench.progress import Silent
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import Originals, Release

SPLITS = ("train", "val", "test")


class Rote(FittedDefense):
    """Learns training images by heart, and publishes one of them for each image."""

    name = "rote"

    def build(self):
        network = nn.Linear(1, 1)
        network.register_buffer("known", torch.zeros(16, 1, 32, 32))
        return network

    def fit(self, network, data, **where):
        network.known.copy_(to_unit(data.pixels[:16]))
        return [{"epoch": 1.0}]

    def transform(self, images, *, rng):
        drawn = (16 * rng.uniform(len(images), 1, device=images.device)).flatten().long()
        return self.network.known[drawn.clamp(max=15)]


class Grey(Rote):
    """Publishes the mean of what it learned: near to many, a copy of nobody in particular."""

    name = "grey"

    def transform(self, images, *, rng):
        return self.network.known.mean(0, keepdim=True).expand_as(images).clone()


class Same(Rote):
    """Publishes originals."""

    name = "same"

    def transform(self, images, *, rng):
        return images.clone()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    cohort = load_cohort(Phantom(patients=160), size=32, cache=folder, strict=False, progress=Silent())
    return {split: cohort.part(split) for split in SPLITS}


def judged(parts, cls: type[FittedDefense], cache: Path):
    found = Found("defense", cls.name, __name__, "tests", "1")
    device = torch.device("cpu")
    published = Release(cls(), found, parts, seed=0, cache=StepCache(cache), device=device, progress=Silent())
    return judge_copies(parts, published, runs=100)


def test_patients_who_are_published_again_are_found(parts, tmp_path: Path) -> None:
    found = judged(parts, Rote, tmp_path)
    train = parts["train"].frame["patient"]
    assert (found.patients, found.images) == (train.nunique(), len(parts["test"]))
    assert found.copies.value == 1
    assert found.copies.low > found.originals
    assert found.copied <= train[:16].nunique()
    assert found.most >= 1 / train[:16].nunique()


@pytest.mark.parametrize("cls", [Grey, Same])
def test_what_is_near_to_everybody_and_what_publishes_originals_copy_nobody(parts, tmp_path: Path, cls) -> None:
    found = judged(parts, cls, tmp_path)
    assert found.originals == pytest.approx(0.05, abs=0.03)
    assert found.copies.value <= found.originals
    assert found.most <= found.copies.value


def test_exact_copies_are_found_where_the_parts_share_images(parts, tmp_path: Path) -> None:
    # Every twentieth test image is a training image too: the nearest of the originals are at no distance at all.
    test, train = parts["test"], parts["train"]
    shared = test.pixels.copy()
    shared[::19] = train.pixels[: len(shared[::19])]
    found = judged({**parts, "test": replace(test, pixels=shared)}, Rote, tmp_path)
    assert found.limit == 0
    assert found.copies.value == 1
    assert found.originals == pytest.approx(len(shared[::19]) / len(shared), abs=1e-4)


def test_what_learns_from_nobody_is_not_asked(parts, tmp_path: Path) -> None:
    assert judge_copies(parts, Originals(parts), runs=100) is None
    nobody = replace(parts["val"], frame=parts["val"].frame.iloc[:0], pixels=parts["val"].pixels[:0])
    assert judged({**parts, "val": nobody}, Rote, tmp_path) is None, "no others to compare with"
