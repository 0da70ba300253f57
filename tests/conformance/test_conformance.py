"""The conformance suite against image defenses that each break one promise."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from reidbench import ReidbenchError
from reidbench.conformance import broken, check_defense
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.random import TrainingRandom
from reidbench.plugins import Registry


@pytest.mark.parametrize("cls", ["noise", "mean"])
def test_a_good_defense_passes_every_property(cls: str, request) -> None:
    findings = check_defense(request.getfixturevalue(cls))
    assert not broken(findings), broken(findings)
    assert all(finding.passed for finding in findings)
    assert len({finding.property for finding in findings}) == len(findings)


def test_the_properties_are_those_of_the_contract(noise) -> None:
    names = {finding.property for finding in check_defense(noise) if finding.level == "error"}
    assert names == {
        "options round trip", "operating points", "exception", "shape", "device", "dtype", "no NaN", "range",
        "no change in place", "training draws", "global randomness", "determinism", "batch size", "order", "state",
        "gradient", "privacy",
    }  # fmt: skip


def fails_on_portraits(images, rng):
    assert images.shape[-1] >= images.shape[-2], "taller than wide"
    return images * 0.5


def crops(images, rng):
    side = min(images.shape[-2:])
    return images[..., :side, :side]


def divides_by_its_range(images, rng):
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low)


def unclipped(images, rng):
    return images + 0.5 * rng.normal_like(images)


def in_place(images, rng):
    return images.mul_(0.5)


def torch_global(images, rng):
    return (images + 0.1 * torch.randn_like(images)).clamp(0, 1)


def numpy_global(images, rng):
    return (images + np.random.random()).clamp(0, 1)  # noqa: NPY002


def python_global(images, rng):
    return (images + random.random()).clamp(0, 1)


def seeds_global(images, rng):
    torch.manual_seed(0)
    return (images + 0.1 * torch.randn_like(images[:1])).clamp(0, 1)


def own_generator(images, rng):
    generator = torch.Generator()
    generator.seed()
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def batch_maximum(images, rng):
    return images / images.max().clamp(min=0.1)


def one_noise_a_batch(images, rng):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + 0.1 * noise).clamp(0, 1)


def last_of_three(images, rng):
    out = images * 0.5
    out[2:] *= 0.5
    return out


@pytest.mark.parametrize(
    ("body", "name", "what", "smallest"),
    [
        (fails_on_portraits, "exception", "AssertionError: taller than wide", "1 black image of 48×32"),
        (crops, "shape", "(1, 1, 32, 32) of (1, 1, 32, 48)", "1 black image of 32×48"),
        (lambda images, rng: images.numpy(), "shape", "returned ndarray, not a tensor", "1 black image of 32×32"),
        (lambda images, rng: images.double(), "dtype", "torch.float64, not torch.float32", "1 black image of 32×32"),
        (lambda images, rng: images.to("meta"), "device", "on meta, not on cpu", "1 black image of 32×32"),
        (divides_by_its_range, "no NaN", "NaN or infinite", "1 black image of 32×32"),
        (unclipped, "range", "not in [0, 1]", "1 black image of 32×32"),
        (in_place, "no change in place", "changed the images it was given", "1 white image of 32×32"),
        (torch_global, "global randomness", "generator of torch, not rng", "1 noisy image of 32×48"),
        (numpy_global, "global randomness", "generator of numpy, not rng", "1 noisy image of 32×48"),
        (python_global, "global randomness", "generator of Python, not rng", "1 noisy image of 32×48"),
        (seeds_global, "global randomness", "generator of torch, not rng", "1 noisy image of 32×48"),
        (own_generator, "determinism", "in two releases of one seed", "1 noisy image of 32×48"),
        (torch_global, "determinism", "in two releases of one seed", "1 noisy image of 32×48"),
        (batch_maximum, "batch size", "in batches of 1 and of 2", "2 noisy images of 32×48"),
        (one_noise_a_batch, "order", "when the order is reversed", "2 noisy images of 32×48"),
        (last_of_three, "batch size", "in batches of", "19 noisy images of 33×47"),
    ],
)
def test_a_broken_promise_is_named_with_its_smallest_input(
    of, image_defense, body, name: str, what: str, smallest: str
) -> None:
    findings = check_defense(image_defense(body))
    finding = of(findings, name)
    assert finding in broken(findings)
    assert finding.message.startswith(f"broken: {name}: ")
    assert what in finding.message
    assert finding.message.endswith(f"smallest input: {smallest}")
    assert "\n" not in finding.message


@pytest.mark.parametrize("body", [crops, unclipped, in_place, fails_on_portraits, batch_maximum])
def test_only_what_is_broken_is_named(image_defense, body) -> None:
    assert len(broken(check_defense(image_defense(body)))) == 1


def test_what_breaks_only_for_many_images_is_still_a_finding(image_defense) -> None:
    def body(images, rng):
        if len(images) > 10:
            raise RuntimeError("too many")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "exception"
    assert finding.message.endswith("RuntimeError: too many; smallest input: 19 noisy images of 33×47")


def test_what_breaks_the_second_time_is_still_a_finding(image_defense) -> None:
    seen: set[bytes] = set()

    def body(images, rng):
        key = images.numpy().tobytes()
        if len(images) == 19 and key in seen:
            raise RuntimeError("not again")
        seen.add(key)
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "exception"
    assert "RuntimeError: not again, on images that it took before" in finding.message


def test_what_breaks_only_for_large_images_is_still_a_finding(image_defense) -> None:
    def body(images, rng):
        if images.shape[-1] > 100:
            raise RuntimeError("too large")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.message == "broken: speed: could not be seen: broken: transform() raised RuntimeError: too large"


def test_a_batch_that_only_an_attacker_draws(image_defense) -> None:
    def body(images, rng):
        if len(images) > 1 and isinstance(rng, TrainingRandom):
            raise RuntimeError("an image at a time, please")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "training draws"
    assert finding.message.endswith("smallest input: 2 noisy images of 32×48")


@pytest.mark.parametrize(
    ("body", "name", "what"),
    [
        (lambda images, rng: images, "not an identity", "24 of 24 noisy images of 33×61 are published as they are"),
        (
            lambda images, rng: torch.where(images.mean((1, 2, 3), keepdim=True) > 0.2, 0, images),
            "not an identity",
            "of 24",
        ),
        (lambda images, rng: torch.cat([images[..., :32] * 0, images[..., 32:]], -1), "coverage", "columns 0 to 31 of"),
        (
            lambda images, rng: torch.cat([images[..., :20, :], images[..., 20:, :] * 0], -2),
            "coverage",
            "rows 20 to 32",
        ),
    ],
)
def test_an_identity_by_accident_is_a_warning(image_defense, body, name: str, what: str) -> None:
    findings = check_defense(image_defense(body))
    assert not broken(findings)
    (finding,) = (finding for finding in findings if not finding.passed)
    assert (finding.property, finding.level) == (name, "warning")
    assert what in finding.message


def test_other_kinds_are_told_apart() -> None:
    class Oath(BaseDefense):
        """Publishes nothing, and swears to it."""

        name = "oath"
        kind = "oath"

    with pytest.raises(ReidbenchError, match="oath: defenses of the kind 'oath' cannot be checked"):
        check_defense(Oath)


def test_checking_leaves_global_generators_as_they_were(image_defense) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = (torch.rand(1).item(), np.random.random(), random.random())  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    check_defense(image_defense(seeds_global))
    check_defense(image_defense(numpy_global))
    assert (torch.rand(1).item(), np.random.random(), random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("name", ["gaussian_noise", "downsample", "k_same_pixel", "kornia_augment"])
def test_built_in_defenses_conform(name: str) -> None:
    findings = check_defense(Registry().get("defense", name))
    assert all(finding.passed for finding in findings), [finding for finding in findings if not finding.passed]
