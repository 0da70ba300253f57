"""Differentially private pixelization, smoothed."""

import torch

from reidbench import Field, ReleaseRandom
from reidbench_plugins._blur import gaussian
from reidbench_plugins.dp_pix import DPPix


class DPBlur(DPPix):
    """Blurs the noisy mosaic of DP-Pix: the same differential privacy of m pixels, easier on the eye (DP-Blur).

    Fan, "Differential Privacy for Image Publication" (2019): DP-Pix with cells of b × b pixels, then a Gaussian blur of
    its output. Whatever is done to a private release stays private, so epsilon is that of dp_pix.
    """

    name = "dp_blur"
    family = "formal"
    operating_points = {
        "mild": {"b": 4, "epsilon": 1.0, "sigma": 2.0},
        "moderate": {"b": 4, "epsilon": 0.5, "sigma": 4.0},
        "strong": {"b": 4, "epsilon": 0.1, "sigma": 4.0},
        "severe": {"b": 4, "epsilon": 0.1, "sigma": 8.0},
    }
    b: int = Field(4, ge=1, le=256, description="width and height of a cell in pixels")
    epsilon: float = Field(0.5, ge=0.001, le=100, description="privacy budget for m pixels; smaller is stronger")
    sigma: float = Field(4.0, ge=0.3, le=64, description="standard deviation of the blur, in pixels")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns smoothed noisy mosaics: (B, 1, H, W)."""
        return gaussian(super().transform(images, rng=rng), self.sigma).clamp(0, 1)
