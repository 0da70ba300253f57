"""The release: one version an image, the same bytes whatever the batches, and a plugin's broken promises by name."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidbench import CohortDefense, Defense, PluginError
from reidbench.defenses.base import BaseDefense, Privacy
from reidbench.defenses.random import ReleaseRandom, TrainingRandom
from reidbench.defenses.release import draw_batch, release
from reidbench.images import to_pixels, to_unit


class Noise(Defense):
    name = "noise"

    def transform(self, images, *, rng):
        return (images + 0.2 * rng.normal_like(images) + 0.05 * rng.laplace_like(images)).clamp(0, 1)


class GroupMean(CohortDefense):
    name = "group_mean"

    def transform_cohort(self, pixels, patients, *, rng):
        noise = torch.randint(0, 3, (1,), generator=rng).item()
        return np.broadcast_to(pixels.mean(axis=0).round() + noise, pixels.shape).astype(np.uint8)


def _cohort(n: int, height: int = 24, width: int = 16) -> tuple[np.ndarray, list[str], np.ndarray]:
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 256, (n, height, width), dtype=np.uint8)
    return pixels, [f"image{i}" for i in range(n)], np.arange(n, dtype=np.int64) // 2


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 40), shuffle=st.randoms(use_true_random=False))
def test_bytes_do_not_depend_on_batch_size_or_order(seed, batch, shuffle):
    pixels, ids, patients = _cohort(33)
    whole = release(Noise(), pixels, ids, patients, seed=seed, batch_size=33)
    order = list(range(33))
    shuffle.shuffle(order)
    shuffled = release(Noise(), pixels[order], [ids[i] for i in order], patients[order], seed=seed, batch_size=batch)
    assert np.array_equal(shuffled, whole[order])


def test_one_version_an_image_and_another_for_another_seed_or_draw():
    pixels, ids, patients = _cohort(6)
    first = release(Noise(), pixels, ids, patients, seed=1)
    assert np.array_equal(first, release(Noise(), pixels, ids, patients, seed=1))
    assert not np.array_equal(first, release(Noise(), pixels, ids, patients, seed=2))
    assert not np.array_equal(first, release(Noise(), pixels, ids, patients, seed=1, draw=1))
    same = np.broadcast_to(pixels[:1], pixels.shape).copy()
    published = release(Noise(), same, ids, patients, seed=1)
    assert len({image.tobytes() for image in published}) == len(ids), "images share their noise"


def test_an_image_is_released_alike_whatever_else_is_published():
    pixels, ids, patients = _cohort(9)
    assert np.array_equal(
        release(Noise(), pixels, ids, patients, seed=3)[4:5],
        release(Noise(), pixels[4:5], ids[4:5], patients[4:5], seed=3),
    )


def test_no_image_gives_no_image():
    pixels, ids, patients = _cohort(0)
    assert release(Noise(), pixels, ids, patients, seed=0).shape == (0, 24, 16)
    assert release(GroupMean(), *_cohort(2), seed=0).shape == (2, 24, 16)


def test_every_grey_level_survives_the_way_to_unit_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(to_pixels(to_unit(levels, torch.device("cpu"))), levels)


def test_cohort_release_does_not_depend_on_the_order_of_rows():
    class FirstRow(CohortDefense):
        name = "first_row"

        def transform_cohort(self, pixels, patients, *, rng):
            return np.broadcast_to(pixels[:1], pixels.shape).copy()

    pixels, ids, patients = _cohort(8)
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    whole = release(FirstRow(), pixels, ids, patients, seed=0)
    shuffled = release(FirstRow(), pixels[order], [ids[i] for i in order], patients[order], seed=0)
    assert np.array_equal(shuffled, whole[order])


def _broken(body):
    class Broken(Defense):
        name = "broken_one"

        def transform(self, images, *, rng):
            return body(images)

    return Broken()


def _in_place(images):
    images.mul_(0.5)
    return images.clone()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda images: 1 / 0, "raised ZeroDivisionError"),
        (lambda images: images[:, :, ::2], "made shape"),
        (lambda images: images.double(), "returned torch.float64"),
        (lambda images: images.to("meta"), "on meta"),
        (lambda images: images * float("nan"), "NaN"),
        (lambda images: images + float("inf"), "NaN or infinite"),
        (lambda images: images + 0.5, "not in [0, 1]"),
        (lambda images: images.numpy(), "not a tensor"),
        (_in_place, "in place"),
    ],
)
def test_a_broken_promise_is_told_with_the_plugins_name(body, what):
    with pytest.raises(PluginError, match=r"^broken_one: ") as caught:
        release(_broken(body), *_cohort(3), seed=0)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda pixels: pixels[:-1], "made uint8"),
        (lambda pixels: pixels / 255, "made float64"),
        (lambda pixels: None, "made NoneType"),
        (lambda pixels: [][0], "raised IndexError"),
    ],
)
def test_a_cohort_defenses_broken_promise_is_told_with_its_name(body, what):
    class Broken(CohortDefense):
        name = "broken_set"

        def transform_cohort(self, pixels, patients, *, rng):
            return body(pixels)

    with pytest.raises(PluginError, match=r"^broken_set: ") as caught:
        release(Broken(), *_cohort(4), seed=0)
    assert what in str(caught.value)


def test_a_defense_that_publishes_no_image_is_refused_by_name():
    class Model(BaseDefense):
        name = "a_model"
        kind: ClassVar[str] = "model"

    with pytest.raises(PluginError, match=r"^a_model: .*publishes no images"):
        release(Model(), *_cohort(1), seed=0)


def test_random_numbers_have_the_moments_they_are_named_for():
    images = torch.zeros(4, 1, 300, 300)
    rng = ReleaseRandom.for_images(0, list("abcd"))
    error = 5 / np.sqrt(images.numel())
    normal, uniform, laplace = rng.normal_like(images), rng.uniform_like(images), rng.laplace_like(images)
    assert abs(normal.mean()) < error
    assert abs(normal.var() - 1) < 2 * error
    assert abs(uniform.mean() - 0.5) < error
    assert abs(uniform.var() - 1 / 12) < error
    assert abs(laplace.mean()) < 2 * error
    assert abs(laplace.var() - 2) < 6 * error
    assert abs(laplace.abs().mean() - 1) < 2 * error
    counts = rng.poisson(torch.full_like(images, 7.0))
    assert abs(counts.mean() - 7) < 3 * error
    assert abs(counts.var() - 7) < 12 * error
    assert set(counts.unique().tolist()) <= set(range(40))


def test_random_numbers_for_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match="3 images"):
        ReleaseRandom.for_images(0, ["a", "b"]).normal_like(torch.zeros(3, 1, 4, 4))


def test_an_attackers_own_draws_differ_and_are_rounded_as_a_release_is():
    generator = torch.Generator().manual_seed(0)
    images = torch.full((2, 1, 32, 32), 0.5)
    first, second = draw_batch(Noise(), images, generator), draw_batch(Noise(), images, generator)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert torch.allclose(first * 255, (first * 255).round(), atol=1e-4)
    assert len(TrainingRandom(generator, 5)) == 5


def test_an_epsilon_needs_a_unit():
    with pytest.raises(ValueError, match="unit"):
        Privacy(epsilon=1.0, delta=0.0, unit="")


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ({"unit": "  "}, "unit"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"delta": -0.1}, "delta=-0.1"),
        ({"delta": 1.5}, "delta=1.5"),
        ({"delta": float("nan")}, "delta=nan"),
        ({"whole_image_epsilon": float("nan")}, "epsilon=nan"),
        ({"whole_image_delta": 2.0}, "delta=2.0"),
    ],
)
def test_a_claim_is_within_its_bounds(claim, what):
    with pytest.raises(ValueError, match=what):
        Privacy(**{"epsilon": 1.0, "delta": 0.0, "unit": "a pixel", **claim})
    Privacy(epsilon=float("inf"), delta=1.0, unit="a pixel", whole_image_epsilon=float("inf"), whole_image_delta=1.0)
