"""Photon noise."""

import torch

from reidbench import Defense, Field, ReleaseRandom


class PoissonNoise(Defense):
    """Re-exposes the image with few photons: Poisson noise, as from a lower dose.

    A pixel of value x becomes Poisson(photons · x) / photons, clipped to [0, 1]: mean x and variance x / photons, so
    bright pixels are noisier and black ones stay black. No formal guarantee.
    """

    name = "poisson_noise"
    family = "noise"
    operating_points = {
        "mild": {"photons": 500},
        "moderate": {"photons": 100},
        "strong": {"photons": 20},
        "severe": {"photons": 4},
    }
    photons: float = Field(
        100, ge=1, le=10_000, description="expected photons of a white pixel; fewer are noisier (deviation 1/√photons)"
    )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns noisy images: (B, 1, H, W)."""
        return (rng.poisson(images * self.photons) / self.photons).clamp(max=1)
