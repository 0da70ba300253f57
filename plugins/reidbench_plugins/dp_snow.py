"""Pixels replaced by a constant."""

import torch

from reidbench import Defense, Field, Privacy, ReleaseRandom


class DPSnow(Defense):
    """Replaces a random share of the pixels by grey: (0, 1 − share)-differential privacy of a pixel (DP-Snow).

    John et al., "Let It Snow: Adding pixel noise to protect the user's identity" (2020): every pixel is replaced with
    probability ``share``, so that a change of one pixel goes unseen with that probability. What is not replaced is
    published exactly, so the guarantee says little of a whole image.
    """

    name = "dp_snow"
    family = "formal"
    differentiable = True
    operating_points = {
        "mild": {"share": 0.25},
        "moderate": {"share": 0.5},
        "strong": {"share": 0.75},
        "severe": {"share": 0.95},
    }
    share: float = Field(0.5, ge=0.01, le=1, description="probability that a pixel is replaced; 1 replaces all")
    value: float = Field(0.5, ge=0, le=1, description="grey level of replaced pixels, in units of the [0, 1] range")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns images under snow: (B, 1, H, W)."""
        return images.masked_fill(rng.uniform_like(images) < self.share, self.value)

    def privacy(self, height: int, width: int) -> Privacy:
        """Approximate differential privacy of one pixel, with epsilon 0."""
        whole = 1 - self.share ** (height * width)
        unit = f"a pixel; delta is {whole:,.6g} for a whole {height}×{width} image"
        return Privacy(0.0, 1 - self.share, unit, whole_image_epsilon=0.0, whole_image_delta=whole)
