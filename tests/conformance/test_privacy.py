"""The conformance suite against guarantees that no record could hold."""

from __future__ import annotations

import math

import pytest
import torch

from reidbench import Privacy
from reidbench.conformance import broken, check_defense
from reidbench.conformance.privacy import check_privacy, wrong_claim


@pytest.fixture
def claiming(noise):
    """Makes a noise that claims what a function of (defense, height, width) returns."""

    def make(claim):
        class Claiming(noise):
            name = "claiming"

            def privacy(self, height, width):
                return claim(self, height, width)

        return Claiming

    return make


def small(claim):
    """A claim that does well as long as only small images are asked about."""
    return lambda defense, height, width: Privacy(1, 0, "a pixel") if height < 500 else claim(height * width)


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        (lambda defense, *size: 1 / 0, "privacy(32, 32) raised ZeroDivisionError: division by zero"),
        (lambda defense, *size: (1.0, 0.0), "privacy(32, 32) returned tuple, not Privacy or None"),
        (lambda defense, *size: Privacy(-1, 0, "a pixel"), "raised ValueError: epsilon=-1: an epsilon is 0 or more"),
        (lambda defense, *size: Privacy(math.nan, 0, "a pixel"), "raised ValueError: epsilon=nan"),
        (lambda defense, *size: Privacy(torch.tensor(1.0), 0, "a pixel"), "claims epsilon=tensor(1.), not a number"),
        (lambda defense, *size: Privacy(1, 1, "a pixel"), "claims delta=1, which guarantees nothing; claim None"),
        (lambda defense, *size: Privacy(1, 0, " "), "raised ValueError: an epsilon needs a unit"),
        (lambda defense, *size: Privacy(1, 0, "a pixel; nan for an image"), "a number in it that is not finite"),
        (small(lambda pixels: Privacy(math.exp(pixels), 0, "an image")), "privacy(1024, 1024) raised OverflowError"),
        (small(lambda pixels: Privacy(1, 0, f"one of {pixels * 1e307:g}")), "privacy(1024, 1024) claims the unit"),
        (
            lambda defense, *size: Privacy(1 / (0.5 - defense.sigma), 0, "a pixel"),
            "privacy(32, 32) at the operating point 'severe' raised ZeroDivisionError",
        ),
    ],
)
def test_a_claim_that_no_record_can_hold_is_named(of, claiming, claim, what: str) -> None:
    findings = check_defense(claiming(claim))
    (finding,) = broken(findings)
    assert finding == of(findings, "privacy")
    assert finding.message.startswith("claiming: privacy: privacy(")
    assert what in finding.message
    assert "\n" not in finding.message


def test_no_bound_at_all_may_be_claimed_in_words_and_numbers(of, claiming) -> None:
    def claim(defense, height, width):
        return Privacy(math.inf, 0, "a pixel; inf for a whole image", whole_image_epsilon=math.inf)

    finding = of(check_defense(claiming(claim)), "privacy")
    assert finding.passed
    assert finding.message == "a bound and what it protects, at 2 operating points and 7 sizes"


def test_whoever_claims_nothing_is_asked_too(of, noise) -> None:
    assert of(check_defense(noise), "privacy").message.startswith("no guarantee is claimed, at 2 operating points")


def test_small_sizes_are_those_that_the_defense_takes(claiming) -> None:
    asked = []
    check_privacy(claiming(lambda defense, height, width: asked.append(height))(), side=96)
    assert min(asked) == 96


def test_a_subclass_is_held_to_what_it_no_longer_asks_of_itself() -> None:
    class Lax(Privacy):
        def __post_init__(self):
            pass

    assert wrong_claim(Lax(-1, 0, "a pixel")) == "claims epsilon=-1, not a number of 0 or more"
    assert wrong_claim(Lax(None, 0, "a pixel")) == "claims epsilon=None, not a number of 0 or more"
    assert wrong_claim(Lax(10**400, 0, "a pixel")).startswith("claims epsilon=1000")
    assert wrong_claim(Lax(1, True, "a pixel")) == "claims delta=True, not a number of 0 to 1"
    assert wrong_claim(Lax(1, 0, "")) == "claims the unit '', which says nothing of what is protected"
    assert wrong_claim(Lax(1, 0, "a pixel")) == ""
