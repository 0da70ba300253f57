"""The promises of a defense that needs the whole set to be published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.conformance.finding import Finding, broken, each, failed, first_line, short
from reidbench.conformance.generators import scramble, states
from reidbench.conformance.samples import (
    CONTENTS,
    SEED,
    Pixels,
    Sample,
    all_kinds,
    difference,
    inverted,
    sample,
    shapes,
    uneven,
)
from reidbench.conformance.scale import SMALLEST, Scale, refusal
from reidbench.conformance.state import Maker, check_state
from reidbench.defenses.base import CohortDefense
from reidbench.errors import ReidbenchError

STRUCTURE = ("exception", "shape", "dtype", "no change in place", "global randomness", "determinism", "order")


def check_cohort(defense: CohortDefense, fresh: Maker, device: torch.device, scale: Scale = SMALLEST) -> list[Finding]:
    """All properties, on a single image and on sets of that scale.

    In half of the sets each patient has two images, in the other half one to four.
    """
    found: dict[str, str] = {}
    refusals: list[ReidbenchError] = []
    tried = [
        sample("noisy", 1, scale.side, scale.side),
        *all_kinds(2 * scale.patients, side=scale.side),
        *(uneven(content, scale.patients, *shape) for shape in shapes(scale.side) for content in CONTENTS),
    ]
    for one in tried:
        try:
            for name, what in _violations(defense, one):
                found.setdefault(name, f"{what}; smallest input: {_described(one)}")
        except ReidbenchError as error:
            refusals.append(error)
        except Exception as error:
            what = f"transform_cohort() raised {short(error)}, on a set that it took before"
            found.setdefault("exception", f"{what}; smallest input: {_described(one)}")
    if len(refusals) == len(tried):
        return [failed(defense, "exception", f"it refuses all sets: {first_line(refusals[-1])}")]
    kept = f"on {len(tried) - len(refusals)} sets"
    if refusals:
        kept += f"; {len(refusals)} were refused: {first_line(refusals[0])}"
    findings = each(defense, found, dict.fromkeys(STRUCTURE, kept))
    if not broken(findings):
        findings.append(_check_state(defense, fresh, device, scale))
    if type(defense).differentiable:
        what = "declared differentiable, but a cohort defense works on arrays, through which no gradient passes"
        findings.append(failed(defense, "gradient", what))
    return findings


def _violations(defense: CohortDefense, images: Sample) -> Iterator[tuple[str, str]]:
    """Promises that are broken on one set, up to the first that makes the rest meaningless."""
    pixels, patients = images.pixels.copy(), images.patients.copy()
    scramble(1)
    before = states()
    try:
        after = _run(defense, pixels, patients)
    except ReidbenchError:
        raise
    except Exception as error:
        yield "exception", f"transform_cohort() raised {short(error)}"
        return
    touched = [name for name, state in states().items() if state != before[name]]
    if touched:
        yield "global randomness", f"it draws from or seeds the global generator of {' and '.join(touched)}, not rng"
    if not np.array_equal(pixels, images.pixels):
        yield "no change in place", "transform_cohort() changed the pixels it was given"
    if not isinstance(after, np.ndarray):
        yield "shape", f"transform_cohort() returned {type(after).__name__}, not an array"
    elif after.shape != pixels.shape:
        yield "shape", f"transform_cohort() made {after.shape} of {pixels.shape}"
    elif after.dtype != np.uint8:
        yield "dtype", f"transform_cohort() returned {after.dtype}, not uint8"
    else:
        yield from _unsteady(defense, images, after)


def _unsteady(defense: CohortDefense, images: Sample, after: Pixels) -> Iterator[tuple[str, str]]:
    after = after.copy()
    scramble(2)
    if seen := difference(_run(defense, images.pixels.copy(), images.patients.copy()), after):
        yield "determinism", f"{seen} in two releases of one seed"
        return
    count = len(after)
    # Reversed, neighbours stay neighbours; mixed, they don't.
    for order, what in (
        (np.arange(count)[::-1], "reversed"),
        (np.random.default_rng(SEED).permutation(count), "mixed"),
    ):
        moved = _run(defense, images.pixels[order], images.patients[order])
        if seen := difference(moved, after[order]):
            yield "order", f"{seen} when the rows are {what}"
            return


def _check_state(defense: CohortDefense, fresh: Maker, device: torch.device, scale: Scale) -> Finding:
    people, side = scale.patients, scale.side
    others = [
        sample("smooth", 2 * people, side, side),
        uneven("black", people, side, side),
        uneven("smooth", 2 * people, side, side),
        sample("noisy", 4 * people, side, side),
    ]
    # Never seen before, so that nothing is kept of them yet.
    for images in (inverted(uneven("noisy", people, side, side)), inverted(sample("noisy", 2 * people, side, side))):
        if refusal(defense, images, device) is None:
            return check_state(defense, fresh, images, others, device)
    return Finding("state", True, "all sets were refused")


def _described(images: Sample) -> str:
    counts = np.bincount(images.patients)
    each_has = f", {counts.min()} to {counts.max()} of each" if counts.min() < counts.max() else ""
    return f"{images}{each_has} of {len(counts)} patients"


def _run(defense: CohortDefense, pixels: Pixels, patients: NDArray[np.int64]) -> Any:
    # A plugin may return anything, whatever it declares.
    return defense.transform_cohort(pixels, patients, rng=torch.Generator().manual_seed(SEED))
