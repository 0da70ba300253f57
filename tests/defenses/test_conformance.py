"""The conformance suite against defenses that each break one promise."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest
import torch

from reidbench import CohortDefense, Defense, Field, ReidbenchError
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.conformance import Finding, broken, check_defense
from reidbench.defenses.conformance.cost import measure
from reidbench.plugins import Registry


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


def of(findings: list[Finding], name: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.property == name)
    return finding


def image_defense(body) -> type[Defense]:
    class Broken(Defense):
        name = "broken"

        def transform(self, images, *, rng):
            return body(images, rng)

    return Broken


def cohort_defense(body) -> type[CohortDefense]:
    class Broken(CohortDefense):
        name = "broken"

        def transform_cohort(self, pixels, patients, *, rng):
            return body(pixels, patients, rng)

    return Broken


@pytest.mark.parametrize("cls", [Noise, Mean])
def test_a_good_defense_passes_every_property(cls: type[BaseDefense]) -> None:
    findings = check_defense(cls)
    assert not broken(findings), broken(findings)
    assert all(finding.passed for finding in findings)
    assert len({finding.property for finding in findings}) == len(findings)


def test_the_properties_are_those_of_the_contract() -> None:
    names = {finding.property for finding in check_defense(Noise) if finding.level == "error"}
    assert names == {
        "options round trip", "operating points", "exception", "shape", "device", "dtype", "no NaN", "range",
        "no change in place", "training draws", "global randomness", "determinism", "batch size", "order", "gradient",
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
def test_a_broken_promise_is_named_with_its_smallest_input(body, name: str, what: str, smallest: str) -> None:
    findings = check_defense(image_defense(body))
    finding = of(findings, name)
    assert finding in broken(findings)
    assert finding.message.startswith(f"broken: {name}: ")
    assert what in finding.message
    assert finding.message.endswith(f"smallest input: {smallest}")
    assert "\n" not in finding.message


@pytest.mark.parametrize("body", [crops, unclipped, in_place, fails_on_portraits, batch_maximum])
def test_only_what_is_broken_is_named(body) -> None:
    assert len(broken(check_defense(image_defense(body)))) == 1


def test_what_breaks_only_for_many_images_is_still_a_finding() -> None:
    def body(images, rng):
        if len(images) > 10:
            raise RuntimeError("too many")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "exception"
    assert finding.message.endswith("RuntimeError: too many; smallest input: 19 noisy images of 33×47")


def test_what_breaks_the_second_time_is_still_a_finding() -> None:
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


def test_what_breaks_only_for_large_images_is_still_a_finding() -> None:
    def body(images, rng):
        if images.shape[-1] > 100:
            raise RuntimeError("too large")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.message == "broken: speed: could not be seen: broken: transform() raised RuntimeError: too large"


def test_refusing_large_images_is_no_failure() -> None:
    def body(images, rng):
        if images.shape[-1] > 60:
            raise ReidbenchError("at most 60 pixels")
        return images * 0.5

    findings = check_defense(image_defense(body))
    assert not broken(findings)
    assert [finding.property for finding in findings if not finding.passed] == ["not an identity", "speed"]


def test_a_batch_that_only_an_attacker_draws() -> None:
    def body(images, rng):
        if len(images) != len(set(rng.generators)):
            raise RuntimeError("a generator an image, please")
        return images * 0.5

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.property == "training draws"
    assert finding.message.endswith("smallest input: 2 noisy images of 32×48")


def test_refusals_with_a_reason_are_no_failures() -> None:
    def body(images, rng):
        if images.shape[-1] % 2:
            raise ReidbenchError("odd widths are refused")
        return images * 0.5

    findings = check_defense(image_defense(body))
    assert not broken(findings)
    assert "13 were refused: odd widths are refused" in of(findings, "shape").message


def test_refusing_everything_is_a_failure() -> None:
    def body(images, rng):
        raise ReidbenchError("no")

    (finding,) = broken(check_defense(image_defense(body)))
    assert finding.message == "broken: exception: it refuses all images: no"


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
def test_an_identity_by_accident_is_a_warning(body, name: str, what: str) -> None:
    findings = check_defense(image_defense(body))
    assert not broken(findings)
    (finding,) = (finding for finding in findings if not finding.passed)
    assert (finding.property, finding.level) == (name, "warning")
    assert what in finding.message


def test_options_that_do_not_pass_through_json() -> None:
    class Broken(Noise):
        name = "broken"
        values: Any = Field((1, 2), description="a tuple in, a list out")

    assert of(broken(check_defense(Broken)), "options round trip").message.endswith("another value")


def test_options_that_json_cannot_hold() -> None:
    class Broken(Noise):
        name = "broken"
        values: Any = Field(torch.nn.Identity(), description="no JSON at all")

    assert "options do not pass through JSON" in of(check_defense(Broken), "options round trip").message


def test_operating_points_that_cannot_be_made() -> None:
    class Broken(Noise):
        name = "broken"
        operating_points = {"mild": {"sigma": 0.1}, "severe": {"sigma": 2}}

    message = of(broken(check_defense(Broken)), "operating points").message
    assert message.startswith("broken: operating points: 'severe' cannot be made: ValidationError")


def test_options_that_cannot_be_made() -> None:
    (finding,) = check_defense(Noise, {"sigma": -1})
    assert finding.property == "options"
    assert not finding.passed


def test_options_are_those_that_are_checked() -> None:
    assert not of(check_defense(Noise, {"sigma": 0}), "not an identity").passed


def detached(images, rng):
    return images.detach() * 0.5


def rounded(images, rng):
    return (images * 15).round() / 15


def through_numpy(images, rng):
    return torch.from_numpy(images.numpy() * np.float32(0.5))


def root_of_the_variance(images, rng):
    # Of a constant image it is zero, and its derivative isn't finite.
    return (images * 0.5 + images.var((1, 2, 3), keepdim=True).sqrt()).clamp(0, 1)


def differentiable(body) -> type[Defense]:
    cls = image_defense(body)
    cls.differentiable = True
    return cls


@pytest.mark.parametrize(
    ("body", "what", "smallest"),
    [
        (detached, "the gradient is zero everywhere", "1 noisy image of 32×48"),
        (rounded, "the gradient is zero everywhere", "1 noisy image of 32×48"),
        (through_numpy, "differentiating raised RuntimeError", "1 black image of 32×32"),
        (root_of_the_variance, "the gradient is NaN or infinite", "1 black image of 32×32"),
    ],
)
def test_gradients_that_are_declared_and_do_not_pass(body, what: str, smallest: str) -> None:
    (finding,) = broken(check_defense(differentiable(body)))
    assert finding.message.startswith(f"broken: gradient: declared differentiable, but {what}")
    assert finding.message.endswith(f"smallest input: {smallest}")
    undeclared = of(check_defense(image_defense(body)), "gradient")
    assert (undeclared.passed, undeclared.message) == (True, "not declared differentiable; no gradient passes")


def test_gradients_that_pass_and_are_not_declared_break_nothing() -> None:
    finding = of(check_defense(Noise), "gradient")
    assert (finding.passed, finding.message) == (True, "not declared differentiable; gradients pass with these options")


def test_a_release_in_which_nothing_is_left_has_no_gradient_to_pass() -> None:
    def covered(images, rng):
        return torch.zeros_like(images)

    assert of(check_defense(differentiable(covered)), "gradient").passed
    assert "there is none to pass" in of(check_defense(image_defense(covered)), "gradient").message


def test_a_cohort_defense_cannot_be_differentiable() -> None:
    class Broken(Mean):
        name = "broken"
        differentiable = True

    (finding,) = broken(check_defense(Broken))
    assert finding.message.startswith("broken: gradient: declared differentiable, but a cohort defense works on arrays")


COUNTER = iter(range(1_000_000))


@pytest.mark.parametrize(
    ("body", "name", "what"),
    [
        (lambda pixels, patients, rng: pixels[1:], "shape", "made (0, 32, 32) of (1, 32, 32)"),
        (lambda pixels, patients, rng: list(pixels), "shape", "returned list, not an array"),
        (lambda pixels, patients, rng: pixels / 255, "dtype", "float64, not uint8"),
        (lambda pixels, patients, rng: np.negative(pixels, out=pixels), "no change in place", "changed the pixels"),
        (lambda pixels, patients, rng: pixels[patients == 1][0], "exception", "IndexError"),
        (lambda pixels, patients, rng: pixels // 2 + next(COUNTER) % 2, "determinism", "in two releases of one seed"),
        (lambda pixels, patients, rng: pixels // 2 + np.uint8(np.random.random()), "global randomness", "numpy"),  # noqa: NPY002
        (lambda pixels, patients, rng: np.broadcast_to(pixels[0], pixels.shape), "order", "when the rows are reversed"),
    ],
)
def test_a_broken_cohort_defense_is_named(body, name: str, what: str) -> None:
    findings = check_defense(cohort_defense(body))
    finding = of(findings, name)
    assert finding in broken(findings)
    assert what in finding.message
    assert "; smallest input: " in finding.message
    assert finding.message.endswith(" patients")


def test_a_cohort_defense_that_refuses_all_sets() -> None:
    def body(pixels, patients, rng):
        raise ReidbenchError("never enough")

    (finding,) = broken(check_defense(cohort_defense(body)))
    assert finding.message == "broken: exception: it refuses all sets: never enough"


def test_other_kinds_are_told_apart() -> None:
    class Oath(BaseDefense):
        """Publishes nothing, and swears to it."""

        name = "oath"
        kind = "oath"

    with pytest.raises(ReidbenchError, match="oath: defenses of the kind 'oath' cannot be checked"):
        check_defense(Oath)


def test_checking_leaves_global_generators_as_they_were() -> None:
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


def test_figures_measure_speed_and_memory() -> None:
    figures = [finding for finding in check_defense(Noise) if finding.level == "figure"]
    assert [finding.property for finding in figures] == ["speed", "memory"]
    assert "images of 128×128 a second" in figures[0].message


def test_peak_memory_is_that_of_the_call() -> None:
    cost = measure(lambda: torch.ones(64 * 2**20, dtype=torch.uint8), torch.device("cpu"))
    if cost.peak_bytes is None and not sys.platform.startswith("linux"):
        pytest.skip("this system does not tell a process's peak memory")
    assert cost.peak_bytes is not None
    assert 60 * 2**20 < cost.peak_bytes < 96 * 2**20


@pytest.mark.parametrize("name", ["gaussian_noise", "downsample", "k_same_pixel", "kornia_augment"])
def test_built_in_defenses_conform(name: str) -> None:
    findings = check_defense(Registry().get("defense", name))
    assert all(finding.passed for finding in findings), [finding for finding in findings if not finding.passed]
