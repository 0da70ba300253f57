"""Lossy compression."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from reidbench import Defense, Field, ReleaseRandom, to_pixels, to_unit


class Jpeg(Defense):
    """Compresses as JPEG and decompresses: fine structure goes, in blocks of 8 × 8 pixels.

    Baseline JPEG (ITU-T T.81) in grey, by libjpeg through Pillow, an image at a time on the CPU. Even quality 100
    rounds coefficients and changes some pixels by a level. No formal guarantee.
    """

    name = "jpeg"
    family = "processing"
    operating_points = {
        "mild": {"quality": 50},
        "moderate": {"quality": 25},
        "strong": {"quality": 10},
        "severe": {"quality": 3},
    }
    quality: int = Field(25, ge=1, le=100, description="libjpeg's quality: 1 is the smallest file, 100 the best image")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns decompressed images: (B, 1, H, W)."""
        levels = to_pixels(images)
        decoded = np.empty_like(levels)
        for number, image in enumerate(levels):
            decoded[number] = self._compressed(image)
        return to_unit(decoded).to(images)

    def _compressed(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file))
