"""Multiplicative noise."""

import torch

from reidbench import Defense, Field, ReleaseRandom


class SpeckleNoise(Defense):
    """Multiplies every pixel by 1 plus Gaussian noise and clips.

    x (1 + sigma · N(0, 1)), clipped to [0, 1]: the deviation is proportional to the pixel, black stays black. No
    formal guarantee.
    """

    name = "speckle_noise"
    family = "noise"
    differentiable = True
    operating_points = {
        "mild": {"sigma": 0.1},
        "moderate": {"sigma": 0.25},
        "strong": {"sigma": 0.5},
        "severe": {"sigma": 1.0},
    }
    sigma: float = Field(0.25, ge=0.01, le=10, description="standard deviation of the noise, relative to the pixel")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns noisy images: (B, 1, H, W)."""
        return (images * (1 + self.sigma * rng.normal_like(images))).clamp(0, 1)
