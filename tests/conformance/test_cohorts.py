"""The conformance suite against cohort defenses that each break one promise."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench import ReidbenchError
from reidbench.conformance import broken, check_defense


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
    assert finding.message == (
        "broken: exception: it refuses all sets, from 12 patients with images of 32×32 to 48 patients with images of "
        "256×256: never enough"
    )


def pairs(pixels, patients, rng):
    """Takes two rows in turn for a patient's two images."""
    if len(pixels) < 2:
        raise ReidbenchError("nobody to hide among")
    means = pixels.reshape(-1, 2, *pixels.shape[1:]).mean(axis=1).astype(np.uint8)
    return np.repeat(means, 2, axis=0)


def mates(pixels, patients, rng):
    """Blends each row with its neighbour, in pairs that are the same from either end."""
    rows = np.arange(len(pixels)) ^ 1
    return pixels // 2 + pixels[rows.clip(max=len(pixels) - 1)] // 2


def first_and_last(pixels, patients, rng):
    """Publishes a patient's first and last image, and leaves out all in between."""
    out = np.zeros((patients.max() + 1, 2, *pixels.shape[1:]), dtype=np.uint8)
    for row, patient in enumerate(patients):
        out[patient, int((patients[:row] == patient).sum())] = pixels[row] // 2
    seen = [int((patients[:row] == patient).sum()) for row, patient in enumerate(patients)]
    return out[patients, seen]


@pytest.mark.parametrize(
    ("body", "name", "what"),
    [
        (pairs, "exception", "raised ValueError: cannot reshape"),
        (first_and_last, "exception", "raised IndexError: index 2 is out of bounds"),
        (mates, "order", "when the rows are "),
    ],
)
def test_patients_with_one_to_four_images_are_tried(of, cohort_defense, body, name: str, what: str) -> None:
    finding = of(broken(check_defense(cohort_defense(body))), name)
    assert what in finding.message
    assert finding.message.endswith(" of 12 patients")


def test_what_breaks_the_second_time_is_a_finding(cohort_defense) -> None:
    seen: set[bytes] = set()

    def body(pixels, patients, rng):
        if pixels.tobytes() in seen and len(pixels) == 24:
            raise RuntimeError("not again")
        seen.add(pixels.tobytes())
        return pixels // 2

    (finding,) = broken(check_defense(cohort_defense(body)))
    assert finding.property == "exception"
    assert "RuntimeError: not again, on a set that it took before; smallest input: 24 " in finding.message
