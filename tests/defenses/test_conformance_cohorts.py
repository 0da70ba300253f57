"""The conformance suite against cohort defenses that each break one promise."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench import ReidbenchError
from reidbench.defenses.conformance import broken, check_defense


def test_a_cohort_defense_cannot_be_differentiable(mean) -> None:
    class Broken(mean):
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
def test_a_broken_cohort_defense_is_named(of, cohort_defense, body, name: str, what: str) -> None:
    findings = check_defense(cohort_defense(body))
    finding = of(findings, name)
    assert finding in broken(findings)
    assert what in finding.message
    assert "; smallest input: " in finding.message
    assert finding.message.endswith(" patients")


def test_a_cohort_defense_that_refuses_all_sets(cohort_defense) -> None:
    def body(pixels, patients, rng):
        raise ReidbenchError("never enough")

    (finding,) = broken(check_defense(cohort_defense(body)))
    assert finding.message == "broken: exception: it refuses all sets: never enough"
