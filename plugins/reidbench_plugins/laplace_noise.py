"""White Laplace noise: local differential privacy of a pixel."""

import torch

from reidbench import Defense, Field, Privacy, ReleaseRandom


class LaplaceNoise(Defense):
    """Adds white Laplace noise to every pixel and clips: pixel-level local differential privacy.

    The Laplace mechanism (Dwork, McSherry, Nissim and Smith, 2006) on each pixel: a pixel in [0, 1] changes by at most
    1, so noise of scale b gives epsilon = 1/b for one pixel. Clipping to [0, 1] and rounding to 8 bits come after and
    cost nothing. Pixels compose: for a whole image the bound is its number of pixels times as large.
    """

    name = "laplace_noise"
    family = "formal"
    differentiable = True
    operating_points = {
        "mild": {"scale": 0.05},
        "moderate": {"scale": 0.1},
        "strong": {"scale": 0.5},
        "severe": {"scale": 2.0},
    }
    scale: float = Field(
        0.1, ge=0.01, le=100, description="scale b of the noise (deviation √2·b), in units of the [0, 1] range"
    )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns noisy images: (B, 1, H, W)."""
        return (images + self.scale * rng.laplace_like(images)).clamp(0, 1)

    def privacy(self, height: int, width: int) -> Privacy:
        """Pure differential privacy of one pixel."""
        epsilon = 1 / self.scale
        whole = epsilon * height * width
        unit = f"a pixel; epsilon is {whole:,.6g} for a whole {height}×{width} image"
        return Privacy(epsilon, 0.0, unit, whole_image_epsilon=whole, whole_image_delta=0.0)
