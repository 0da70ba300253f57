"""Images to try a defense on, and what to call them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.defenses.base import BaseDefense
from reidbench.defenses.release import release
from reidbench.images import to_pixels

Pixels = NDArray[np.uint8]

SEED = 20_220
SIDE = 32
CONTENTS = ("black", "white", "smooth", "noisy")


@dataclass(frozen=True)
class Sample:
    """Some images of one content.

    Attributes:
        content: ``black``, ``white``, ``smooth`` (structure without noise) or ``noisy`` (every pixel for itself).
        pixels: (N, H, W) uint8.
        patients: (N,) int64, each image's patient, 0..P-1.
    """

    content: str
    pixels: Pixels
    patients: NDArray[np.int64]

    def __str__(self) -> str:
        count, height, width = self.pixels.shape
        return f"{count} {self.content} image{'s' if count > 1 else ''} of {height}×{width}"


def sample(content: str, count: int, height: int, width: int) -> Sample:
    """Images of that content, two a patient, always the same; each has its own brightness."""
    return Sample(content, _images(content, count, height, width), np.arange(count) // 2)


def uneven(content: str, patients: int, height: int, width: int) -> Sample:
    """As :func:`sample`, but of patients with one to four images each, whose rows lie scattered."""
    # Five counts in turn, so that twelve patients have an odd number of images: no pairs can be made of them.
    counts = np.resize([1, 4, 2, 3, 1], patients)
    rows = np.repeat(np.arange(patients), counts)
    return Sample(content, _images(content, len(rows), height, width), np.random.default_rng(SEED).permutation(rows))


def inverted(images: Sample) -> Sample:
    """The negatives: as textured, and other images."""
    return replace(images, content=f"inverted {images.content}", pixels=255 - images.pixels)


def shapes(side: int = SIDE) -> tuple[tuple[int, int], ...]:
    """Heights and widths of which ``side`` is the smallest: square, wide, tall, and odd."""
    long = side * 3 // 2
    return (side, side), (side, long), (long, side), (side + 1, long - 1)


def all_kinds(*counts: int, side: int = SIDE) -> list[Sample]:
    """Images of all contents and shapes, each in these numbers, the smallest first."""
    made = [sample(content, count, *shape) for count in counts for shape in shapes(side) for content in CONTENTS]
    return sorted(made, key=lambda one: one.pixels.size)


def textured(side: int = SIDE) -> list[Sample]:
    """Images whose every bit counts, the smallest first.

    Some are odd in size and many in number: there kernels begin to choose their algorithm by the batch.
    """
    _, wide, _, odd = shapes(side)
    return [sample("noisy", 1, *wide), sample("noisy", 2, *wide), sample("noisy", 19, *odd)]


def publish(
    defense: BaseDefense,
    images: Sample,
    device: torch.device,
    *,
    batch_size: int = 128,
    order: NDArray[np.int64] | None = None,
    seed: int = SEED,
) -> Pixels:
    """The release of a sample, its rows in that order."""
    rows = np.arange(len(images.pixels)) if order is None else order
    ids = [f"image {number}" for number in rows]
    pixels, patients = images.pixels[rows], images.patients[rows]
    return release(defense, pixels, ids, patients, seed=seed, device=device, batch_size=batch_size)


def difference(one: Pixels, other: Pixels) -> str:
    """In words, where two releases differ; empty if they don't."""
    pixels = (one != other).reshape(len(one), -1).sum(axis=1)
    if not pixels.any():
        return ""
    first = int(np.flatnonzero(pixels)[0])
    return f"image {first} differs in {pixels[first]} of {one[0].size} pixels"


def _images(content: str, count: int, height: int, width: int) -> Pixels:
    if content in ("black", "white"):
        return np.full((count, height, width), 0 if content == "black" else 255, dtype=np.uint8)
    generator = torch.Generator().manual_seed(SEED)
    gain = 0.3 + 0.7 * torch.rand(count, 1, 1, 1, generator=generator)
    if content == "noisy":
        return to_pixels(gain * torch.rand(count, 1, height, width, generator=generator))
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    return to_pixels(gain * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear"))
