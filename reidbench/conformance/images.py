"""The promises of a defense that works on an image at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from reidbench.conformance.finding import Finding, broken, each, failed, first_line, short
from reidbench.conformance.generators import scramble, states
from reidbench.conformance.gradient import check_gradient
from reidbench.conformance.samples import (
    SEED,
    Sample,
    all_kinds,
    difference,
    inverted,
    publish,
    sample,
    shapes,
    textured,
)
from reidbench.conformance.scale import SMALLEST, Scale, refusal
from reidbench.conformance.state import Maker, check_state
from reidbench.defenses.base import Defense
from reidbench.defenses.random import ReleaseRandom
from reidbench.defenses.release import TOLERANCE, draw_batch
from reidbench.errors import PluginError, ReidbenchError
from reidbench.images import to_unit

STRUCTURE = ("exception", "shape", "device", "dtype", "no NaN", "range", "no change in place")


def check_images(defense: Defense, fresh: Maker, device: torch.device, scale: Scale = SMALLEST) -> list[Finding]:
    """All properties, on images of that scale; those of its randomness only if what it returns are images at all."""
    findings = _check_structure(defense, device, scale)
    if broken(findings):
        return findings
    try:
        accepted = _accepted(defense, device, scale)
        repeated = [
            _check_draws(defense, accepted, device),
            _check_global(defense, accepted, device),
            *_check_streams(defense, accepted, device),
        ]
        if accepted and not broken(repeated):
            repeated.append(_check_state(defense, fresh, accepted, device))
        return [
            *findings,
            *repeated,
            *_check_deterministic(defense, accepted, device),
            check_gradient(defense, device, [*all_kinds(1, side=scale.side), *accepted]),
        ]
    except ReidbenchError as error:
        # All of these images went well once: it broke another time, as what keeps a state may do.
        rest = [finding for finding in findings if finding.property != "exception"]
        return [failed(defense, "exception", f"{error}, on images that it took before"), *rest]


def _accepted(defense: Defense, device: torch.device, scale: Scale) -> list[Sample]:
    """Textured images that it takes; other shapes of them where it takes none of these, as if all must be square."""
    accepted = [one for one in textured(scale.side) if refusal(defense, one, device) is None]
    if accepted:
        return accepted
    others = (sample("noisy", count, *shape) for shape in shapes(scale.side) for count in (1, 2, 19))
    return [one for one in others if refusal(defense, one, device) is None]


def _check_structure(defense: Defense, device: torch.device, scale: Scale) -> list[Finding]:
    found: dict[str, str] = {}
    refusals: list[ReidbenchError] = []
    tried = sorted([*all_kinds(1, 2, 5, side=scale.side), *textured(scale.side)], key=lambda one: one.pixels.size)
    for one in tried:
        try:
            for name, what in _violations(defense, to_unit(one.pixels, device)):
                found.setdefault(name, f"{what}; smallest input: {one}")
        except ReidbenchError as error:
            refusals.append(error)
    if len(refusals) == len(tried):
        return [failed(defense, "exception", f"it refuses all images: {first_line(refusals[-1])}")]
    kept = f"on {len(tried) - len(refusals)} inputs"
    if refusals:
        kept += f"; {len(refusals)} were refused: {first_line(refusals[0])}"
    return each(defense, found, dict.fromkeys(STRUCTURE, kept))


def _violations(defense: Defense, images: torch.Tensor) -> Iterator[tuple[str, str]]:
    """Promises that one call breaks, up to the first that makes the rest meaningless: (property, what was seen)."""
    before = images.clone()
    rng = ReleaseRandom.for_images(SEED, [str(number) for number in range(len(images))])
    try:
        with torch.no_grad():
            after = defense.transform(images, rng=rng)
    except ReidbenchError:
        raise
    except Exception as error:
        yield "exception", f"transform() raised {short(error)}"
        return
    if not torch.equal(images, before):
        yield "no change in place", "transform() changed the images it was given"
    if not isinstance(after, torch.Tensor):
        yield "shape", f"transform() returned {type(after).__name__}, not a tensor"
    elif after.shape != before.shape:
        yield "shape", f"transform() made {tuple(after.shape)} of {tuple(before.shape)}"
    elif after.device != before.device:
        yield "device", f"transform() returned images on {after.device}, not on {before.device}"
    elif after.dtype != before.dtype:
        yield "dtype", f"transform() returned {after.dtype}, not {before.dtype}"
    elif not bool(torch.isfinite(after).all()):
        yield "no NaN", "transform() returned NaN or infinite values"
    else:
        low, high = (float(value) for value in torch.aminmax(after))
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            yield "range", f"transform() returned values from {low:.4g} to {high:.4g}, not in [0, 1]"


def _check_draws(defense: Defense, accepted: list[Sample], device: torch.device) -> Finding:
    for one in accepted:
        try:
            draw_batch(defense, to_unit(one.pixels, device), torch.Generator().manual_seed(SEED))
        except PluginError as error:
            return failed(defense, "training draws", f"an attacker's own batch failed: {error}; smallest input: {one}")
    return Finding("training draws", True, "an attacker can run it on batches")


def _check_global(defense: Defense, accepted: list[Sample], device: torch.device) -> Finding:
    for one in accepted:
        scramble(1)
        before = states()
        publish(defense, one, device)
        touched = [name for name, state in states().items() if state != before[name]]
        if touched:
            what = f"it draws from or seeds the global generator of {' and '.join(touched)}, not rng"
            return failed(defense, "global randomness", f"{what}; smallest input: {one}")
    return Finding("global randomness", True, "global generators are left alone")


def _check_streams(defense: Defense, accepted: list[Sample], device: torch.device) -> list[Finding]:
    """Determinism, and independence of batches and order, in the grey levels that are published."""
    found: dict[str, str] = {}
    for one in accepted:
        scramble(1)
        whole = publish(defense, one, device)
        scramble(2)
        if seen := difference(publish(defense, one, device), whole):
            found.setdefault("determinism", f"{seen} in two releases of one seed; smallest input: {one}")
            continue
        count = len(whole)
        for size in {1, 2} - {count}:
            if seen := difference(publish(defense, one, device, batch_size=size), whole):
                found.setdefault("batch size", f"{seen} in batches of {size} and of {count}; smallest input: {one}")
        backwards = np.arange(count)[::-1]
        if seen := difference(publish(defense, one, device, order=backwards)[::-1], whole):
            found.setdefault("order", f"{seen} when the order is reversed; smallest input: {one}")
    good = {"determinism": "fixed by (seed, image)", "batch size": "does not matter", "order": "does not matter"}
    return each(defense, found, good)


def _check_deterministic(defense: Defense, accepted: list[Sample], device: torch.device) -> list[Finding]:
    """Only where it is declared: an attacker is then given one version of each image, and would miss all others."""
    if not type(defense).deterministic:
        return []
    for one in accepted:
        if seen := difference(publish(defense, one, device, seed=SEED + 1), publish(defense, one, device)):
            what = f"declared, but {seen} in releases of two seeds; smallest input: {one}"
            return [failed(defense, "deterministic", what)]
    return [Finding("deterministic", True, "declared; no seed changes a release")]


def _check_state(defense: Defense, fresh: Maker, accepted: list[Sample], device: torch.device) -> Finding:
    """On two images that it never saw, with others in between: of that shape too, since a cache may go by it."""
    images = next((one for one in accepted if len(one.pixels) == 2), accepted[0])
    shape = images.pixels.shape[1:]
    others = [sample(content, count, *shape) for count, content in ((2, "black"), (1, "white"), (3, "smooth"))]
    if refusal(defense, inverted(images), device) is None:
        images = inverted(images)
    return check_state(defense, fresh, images, [*others, *accepted], device)
