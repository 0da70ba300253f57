"""Parts of images: octaves of spatial frequency, and the border against the centre. Each can be published alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

from reidbench.images import BATCH, round_grey

#: The level that stands for nothing: what is left out of an image is filled with it.
MID_GREY = 128.0
#: Octaves that are told apart, from the finest that an image of its size can hold.
OCTAVES = 4
#: The share of an image's area that is its border.
BORDER = 0.5
#: The root mean square that a gain brings a part of training images to, at most, in grey levels: four times this is
#: within 8 bits on both sides of mid-grey.
AIM = 32.0
#: The largest gain: a level of rounding would be as large as this many.
MOST_GAIN = 64.0
# Images that a gain is measured on: a thousand small ones or some tens of large ones.
_MEASURED_IMAGES, _MEASURED_PIXELS = 1000, 1 << 24


@dataclass(frozen=True)
class Band:
    """What an image has of a band of spatial frequencies, or what it has of all others.

    Frequencies are those of the discrete cosine transform, which is orthogonal and continues an image as its mirror
    image, so that the jump from one edge to the opposite one counts for nothing. Bands that share no frequency add up
    to the image, and their variances to its variance.

    Attributes:
        low, high: cycles per image width; the band holds ``low`` and not ``high``. Infinite for the finest one, to
            which the corners of the spectrum belong.
        without: whether it is what is left of an image without the band.
    """

    low: float
    high: float
    without: bool = False

    @property
    def name(self) -> str:
        """For people."""
        if not self.low:
            return f"below {self.high:g} cycle{'s' if self.high != 1 else ''}"
        return f"{self.low:g} cycles and more" if self.high == float("inf") else f"{self.low:g} to {self.high:g} cycles"

    @property
    def has_mean(self) -> bool:
        """Whether the mean grey of an image is in it."""
        return (self.low <= 0) != self.without

    def of(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """The part of images (N, H, W), same shape and units; linear."""
        rows, columns = _cosines(images.shape[1]), _cosines(images.shape[2])
        across = np.hypot(np.arange(images.shape[1])[:, None] / 2, np.arange(images.shape[2])[None] / 2)
        kept = (across >= self.low) & (across < self.high)
        found: NDArray[np.float64] = rows.T @ ((rows @ images @ columns.T) * (kept != self.without)) @ columns
        return found


@dataclass(frozen=True)
class Region:
    """The border of an image, a frame of half of its area, or the centre within it.

    Attributes:
        border: whether it is the border.
    """

    border: bool

    has_mean = True

    @property
    def name(self) -> str:
        """For people."""
        return "border" if self.border else "centre"

    def share(self, size: int) -> float:
        """The share of the area of an image of ``size`` pixels a side."""
        return float(self._mask(size, size).mean())

    def of(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """Images (N, H, W) with zeros outside of the region; linear."""
        return np.where(self._mask(*images.shape[1:]), images, 0.0)

    def _mask(self, height: int, width: int) -> NDArray[np.bool_]:
        inside = np.zeros((height, width), dtype=bool)
        frame = [round(length * (1 - (1 - BORDER) ** 0.5) / 2) for length in (height, width)]
        inside[frame[0] : height - frame[0], frame[1] : width - frame[1]] = True
        return inside != self.border


@dataclass(frozen=True)
class Whole:
    """All of an image."""

    name = "the whole image"
    has_mean = True

    def of(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """The images (N, H, W)."""
        return images.astype(np.float64)


Part = Band | Region | Whole


def octaves(size: int) -> tuple[Band, ...]:
    """Bands that add up to an image of ``size`` pixels a side: four octaves, the finest first, and what is coarser."""
    edges = [float("inf"), *(size / 2 ** (2 + number) for number in range(OCTAVES)), 0.0]
    return tuple(Band(low, high) for high, low in pairwise(edges))


def left_by(part: Band | Region) -> Band | Region:
    """What is left of an image without a part; the two add up to the image."""
    return Region(not part.border) if isinstance(part, Region) else Band(part.low, part.high, not part.without)


def gain_of(part: Part, pixels: NDArray[np.uint8]) -> float:
    """The factor with which a part is published: a power of two, 1 where the part has the mean grey of an image.

    Args:
        pixels: (N, H, W) training images, of which up to a thousand are looked at. One factor holds for all images: a
            factor of each image's own would hide how strong the part is in it.
    """
    if part.has_mean or not len(pixels):
        return 1.0
    wanted = max(1, min(len(pixels), _MEASURED_IMAGES, _MEASURED_PIXELS // pixels[0].size))
    chosen = np.unique(np.linspace(0, len(pixels) - 1, wanted).round().astype(np.int64))
    # One batch after the other: a thousand images of 128² as float64 are 130 MB.
    squares = [np.square(part.of(_levels(pixels[rows]))).mean(axis=(1, 2)) for rows in _batches(chosen)]
    spread = float(np.concatenate(squares).mean()) ** 0.5
    return float(min(max(2.0 ** floor(log2(AIM / spread)), 1.0), MOST_GAIN)) if spread > 1e-6 else 1.0


def publish(part: Part, gain: float, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A part of images as images, (N, H, W) uint8 both: ``gain`` times the part, around mid-grey; clipped to 8 bits."""
    published = np.empty(pixels.shape, dtype=np.uint8)
    for rows in _batches(np.arange(len(pixels))):
        published[rows] = round_grey(MID_GREY + gain * part.of(_levels(pixels[rows])))
    return published


def variance_share(part: Part, pixels: NDArray[np.uint8]) -> float:
    """The share of a part in the variance of pixels (N, H, W) about their overall mean; NaN if they do not vary."""
    mean = float(pixels.mean()) if len(pixels) else 0.0
    whole, found = 0.0, 0.0
    for rows in _batches(np.arange(len(pixels))):
        about = pixels[rows].astype(np.float64) - mean
        whole += float(np.square(about).sum())
        found += float(np.square(part.of(about)).sum())
    return found / whole if whole else float("nan")


def _levels(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pixels.astype(np.float64) - MID_GREY


def _batches(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[begin : begin + BATCH] for begin in range(0, len(rows), BATCH)]


@cache
def _cosines(length: int) -> NDArray[np.float64]:
    """The orthonormal matrix (length, length) of the discrete cosine transform, type 2: row k has k / 2 cycles."""
    places = (np.arange(length) + 0.5) / length
    matrix = np.cos(np.pi * np.arange(length)[:, None] * places) * (2 / length) ** 0.5
    matrix[0] /= 2**0.5
    return matrix
