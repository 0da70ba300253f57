"""Gaussian smoothing."""

import torch

from reidbench import Defense, Field, ReleaseRandom
from reidbench_plugins._blur import gaussian


class GaussianBlur(Defense):
    """Blurs with a Gaussian: fine structure goes, coarse anatomy stays.

    Separable convolution, kernel cut off at 4 sigma, edge pixels repeated beyond the border. Sigma is in pixels of the
    image as it is attacked: the same sigma is a stronger defense at a lower resolution. No formal guarantee: a blur
    without noise can be inverted in part.
    """

    name = "gaussian_blur"
    family = "blur"
    differentiable = True
    operating_points = {
        "mild": {"sigma": 1.0},
        "moderate": {"sigma": 2.0},
        "strong": {"sigma": 4.0},
        "severe": {"sigma": 8.0},
    }
    sigma: float = Field(2.0, ge=0.3, le=64, description="standard deviation of the kernel, in pixels")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns blurred images: (B, 1, H, W)."""
        return gaussian(images, self.sigma).clamp(0, 1)
