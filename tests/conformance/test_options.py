"""The conformance suite against options that no record can hold."""

from __future__ import annotations

from typing import Any

import torch

from reidbench import Field
from reidbench.conformance import broken, check_defense


def test_options_that_do_not_pass_through_json(of, noise) -> None:
    class Broken(noise):
        name = "broken"
        values: Any = Field((1, 2), description="a tuple in, a list out")

    assert of(broken(check_defense(Broken)), "options round trip").message.endswith("another value")


def test_options_that_json_cannot_hold(of, noise) -> None:
    class Broken(noise):
        name = "broken"
        values: Any = Field(torch.nn.Identity(), description="no JSON at all")

    assert "options do not pass through JSON" in of(check_defense(Broken), "options round trip").message


def test_operating_points_that_cannot_be_made(of, noise) -> None:
    class Broken(noise):
        name = "broken"
        operating_points = {"mild": {"sigma": 0.1}, "severe": {"sigma": 2}}

    message = of(broken(check_defense(Broken)), "operating points").message
    assert message.startswith("broken: operating points: 'severe' cannot be made: ValidationError")


def test_options_that_cannot_be_made(noise) -> None:
    (finding,) = check_defense(noise, {"sigma": -1})
    assert finding.property == "options"
    assert not finding.passed


def test_options_are_those_that_are_checked(of, noise) -> None:
    assert not of(check_defense(noise, {"sigma": 0}), "not an identity").passed
