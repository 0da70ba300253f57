"""The conformance suite against defenses that declare a gradient, or have one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.conformance import broken, check_defense


def detached(images, rng):
    return images.detach() * 0.5


def rounded(images, rng):
    return (images * 15).round() / 15


def through_numpy(images, rng):
    return torch.from_numpy(images.numpy() * np.float32(0.5))


def root_of_the_variance(images, rng):
    # Of a constant image it is zero, and its derivative isn't finite.
    return (images * 0.5 + images.var((1, 2, 3), keepdim=True).sqrt()).clamp(0, 1)


@pytest.fixture
def differentiable(image_defense):
    """Makes an image defense that declares itself differentiable."""

    def make(body):
        cls = image_defense(body)
        cls.differentiable = True
        return cls

    return make


@pytest.mark.parametrize(
    ("body", "what", "smallest"),
    [
        (detached, "the gradient is zero everywhere", "1 noisy image of 32×32"),
        (rounded, "the gradient is zero everywhere", "1 noisy image of 32×32"),
        (through_numpy, "differentiating raised RuntimeError", "1 black image of 32×32"),
        (root_of_the_variance, "the gradient is NaN or infinite", "1 black image of 32×32"),
    ],
)
def test_gradients_that_are_declared_and_do_not_pass(
    of, image_defense, differentiable, body, what: str, smallest: str
) -> None:
    (finding,) = broken(check_defense(differentiable(body)))
    assert finding.message.startswith(f"broken: gradient: declared differentiable, but {what}")
    assert finding.message.endswith(f"smallest input: {smallest}")
    undeclared = of(check_defense(image_defense(body)), "gradient")
    assert (undeclared.passed, undeclared.message) == (True, "not declared differentiable; no gradient passes")


def test_gradients_that_pass_and_are_not_declared_break_nothing(of, noise) -> None:
    finding = of(check_defense(noise), "gradient")
    assert (finding.passed, finding.message) == (True, "not declared differentiable; gradients pass with these options")


def test_a_release_in_which_nothing_is_left_has_no_gradient_to_pass(of, image_defense, differentiable) -> None:
    def covered(images, rng):
        return torch.zeros_like(images)

    assert of(check_defense(differentiable(covered)), "gradient").passed
    assert "there is none to pass" in of(check_defense(image_defense(covered)), "gradient").message
