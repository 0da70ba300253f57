"""The promises of a defense that needs the whole set to be published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.defenses.base import CohortDefense
from reidbench.defenses.conformance.finding import Finding, each, failed, short
from reidbench.defenses.conformance.generators import scramble, states
from reidbench.defenses.conformance.samples import SEED, Pixels, Sample, all_kinds, difference, sample
from reidbench.errors import ReidbenchError

STRUCTURE = ("exception", "shape", "dtype", "no change in place", "global randomness", "determinism", "order")


def check_cohort(defense: CohortDefense) -> list[Finding]:
    """All properties, on a single image and on sets of twelve patients with two images each."""
    found: dict[str, str] = {}
    refusals: list[ReidbenchError] = []
    tried = [sample("noisy", 1, 32, 32), *all_kinds(24)]
    for one in tried:
        try:
            for name, what in _violations(defense, one):
                found.setdefault(name, f"{what}; smallest input: {one} of {(len(one.pixels) + 1) // 2} patients")
        except ReidbenchError as error:
            refusals.append(error)
    if len(refusals) == len(tried):
        return [failed(defense, "exception", f"it refuses all sets: {refusals[-1]}")]
    kept = f"on {len(tried) - len(refusals)} sets"
    if refusals:
        kept += f"; {len(refusals)} were refused: {refusals[0]}"
    findings = each(defense, found, dict.fromkeys(STRUCTURE, kept))
    if type(defense).differentiable:
        what = "declared differentiable, but a cohort defense works on arrays, through which no gradient passes"
        findings.append(failed(defense, "gradient", what))
    return findings


def _violations(defense: CohortDefense, images: Sample) -> Iterator[tuple[str, str]]:
    """Promises that are broken on one set, up to the first that makes the rest meaningless."""
    pixels, patients = images.pixels.copy(), np.arange(len(images.pixels)) // 2
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
        yield from _unsteady(defense, images.pixels, patients, after)


def _unsteady(
    defense: CohortDefense, pixels: Pixels, patients: NDArray[np.int64], after: Pixels
) -> Iterator[tuple[str, str]]:
    after = after.copy()
    scramble(2)
    if seen := difference(_run(defense, pixels.copy(), patients), after):
        yield "determinism", f"{seen} in two releases of one seed"
    elif seen := difference(_run(defense, pixels[::-1].copy(), patients[::-1].copy())[::-1], after):
        yield "order", f"{seen} when the rows are reversed"


def _run(defense: CohortDefense, pixels: Pixels, patients: NDArray[np.int64]) -> Any:
    # A plugin may return anything, whatever it declares.
    return defense.transform_cohort(pixels, patients, rng=torch.Generator().manual_seed(SEED))
