"""What a defense does to images, and what it costs: warnings and figures."""

from __future__ import annotations

import numpy as np
import torch

from reidbench.conformance.cost import measure
from reidbench.conformance.finding import Finding, Level, failed
from reidbench.conformance.samples import publish, sample
from reidbench.conformance.scale import SMALLEST, Scale
from reidbench.defenses.base import BaseDefense
from reidbench.errors import PluginError, ReidbenchError


def check_effect(defense: BaseDefense, device: torch.device, scale: Scale = SMALLEST) -> list[Finding]:
    """Warns where images, or a whole side of them, are published as they are: an identity by accident."""
    height, width = scale.side + 1, 2 * scale.side - 3
    images = sample("noisy", 2 * scale.patients, height, width)
    try:
        changed = publish(defense, images, device) != images.pixels
    except ReidbenchError as error:
        return [_unseen(defense, "not an identity", error, "warning")]
    same = int((~changed.any(axis=(1, 2))).sum())
    if same:
        what = f"{same} of {images} are published as they are"
        return [failed(defense, "not an identity", what, "warning")]
    findings = [Finding("not an identity", True, "every image is changed", "warning")]
    rows, columns = np.flatnonzero(changed.any(axis=(0, 2))), np.flatnonzero(changed.any(axis=(0, 1)))
    seen = f"rows {rows[0]} to {rows[-1]} and columns {columns[0]} to {columns[-1]} of {height}×{width} are changed"
    if rows[0] or columns[0] or rows[-1] < height - 1 or columns[-1] < width - 1:
        return [*findings, failed(defense, "coverage", f"only {seen}; input: {images}", "warning")]
    return [*findings, Finding("coverage", True, seen, "warning")]


def measure_cost(defense: BaseDefense, device: torch.device, scale: Scale = SMALLEST) -> list[Finding]:
    """Images a second, and the peak of memory beyond what was held before."""
    side = max(128, scale.side)
    images = sample("noisy", max(32, 2 * scale.patients), side, side)
    try:
        cost = measure(lambda: publish(defense, images, device), device)
    except ReidbenchError as error:
        return [_unseen(defense, "speed", error, "figure")]
    memory = "cannot be measured here" if cost.peak_bytes is None else f"{cost.peak_bytes / 2**20:.1f} MiB more at most"
    return [
        Finding("speed", True, f"{len(images.pixels) / cost.seconds:.0f} images of {side}×{side} a second", "figure"),
        Finding("memory", True, f"{memory}, for {images}", "figure"),
    ]


def _unseen(defense: BaseDefense, name: str, error: ReidbenchError, level: Level) -> Finding:
    # A refusal leaves it open; a crash on images that are larger than those before is a broken promise.
    return failed(defense, name, f"could not be seen: {error}", "error" if isinstance(error, PluginError) else level)
