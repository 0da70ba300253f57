"""White Gaussian noise."""

import torch

from reidbench import Defense, Field, ReleaseRandom


class GaussianNoise(Defense):
    """Adds white Gaussian noise to every pixel and clips: the mildest form of local perturbation.

    Independent noise N(0, sigma²) a pixel, then clipping to [0, 1] and rounding to 8 bits. It gives no pure
    differential privacy, so no formal guarantee is claimed.
    """

    name = "gaussian_noise"
    family = "noise"
    differentiable = True
    operating_points = {
        "mild": {"sigma": 0.05},
        "moderate": {"sigma": 0.1},
        "strong": {"sigma": 0.25},
        "severe": {"sigma": 0.5},
    }
    sigma: float = Field(
        0.1, ge=0, le=10, description="standard deviation, in units of the [0, 1] intensity range; 0 changes nothing"
    )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns noisy images: (B, 1, H, W)."""
        return (images + self.sigma * rng.normal_like(images)).clamp(0, 1)
