"""A noisy sample of the pixels."""

import math

import torch
import torch.nn.functional as F

from reidbench import Defense, Field, Privacy, ReleaseRandom


class DPSamp(Defense):
    """Keeps one random pixel a cell, with Laplace noise, and interpolates between them (DP-Samp).

    After the sampling and interpolation of VideoDP (Wang, Xie and Hong, 2020), as compared with DP-Pix by Reilly and
    Fan (2021). There, pixels are sampled by their values and published as they are; here the places are drawn without
    looking at the image, one in each cell × cell pixels, and each value gets Laplace noise of scale m / epsilon, so
    that pure epsilon-differential privacy of any m pixels holds. Values are clipped to [0, 1] and interpolated
    bilinearly between the cells' centres, which doesn't tell where in its cell a pixel was taken.
    """

    name = "dp_samp"
    family = "formal"
    differentiable = True
    operating_points = {
        "mild": {"cell": 2, "epsilon": 20.0},
        "moderate": {"cell": 4, "epsilon": 10.0},
        "strong": {"cell": 4, "epsilon": 2.0},
        "severe": {"cell": 8, "epsilon": 1.0},
    }
    cell: int = Field(4, ge=1, le=256, description="width and height in pixels of the cells of which one pixel is kept")
    m: int = Field(
        1, ge=1, le=65_536, description="number of pixels, anywhere in the image, that are protected together"
    )
    epsilon: float = Field(10.0, ge=0.001, le=100, description="privacy budget for m pixels; smaller is stronger")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns images interpolated from noisy samples: (B, 1, H, W)."""
        batch, _, height, width = images.shape
        size = (math.ceil(height / self.cell), math.ceil(width / self.cell))
        place = rng.uniform(batch, 2, *size, device=images.device)
        rows = self._places(place[:, 0], torch.arange(size[0], device=images.device)[:, None], height)
        columns = self._places(place[:, 1], torch.arange(size[1], device=images.device), width)
        kept = images[:, 0].flatten(1).gather(1, (rows * width + columns).flatten(1)).view(batch, 1, *size)
        noisy = (kept + self.m / self.epsilon * rng.laplace_like(kept)).clamp(0, 1)
        whole = (size[0] * self.cell, size[1] * self.cell)
        return F.interpolate(noisy, whole, mode="bilinear", align_corners=False)[..., :height, :width].clamp(0, 1)

    def _places(self, uniform: torch.Tensor, cells: torch.Tensor, length: int) -> torch.Tensor:
        # Cells cut off by the edge draw among the pixels that they have.
        start = cells * self.cell
        count = (length - start).clamp(max=self.cell)
        return start + torch.minimum((uniform * count).long(), count - 1)

    def privacy(self, height: int, width: int) -> Privacy:
        """Pure differential privacy of m pixels."""
        protected = "a pixel" if self.m == 1 else f"{self.m} pixels of an image"
        samples = math.ceil(height / self.cell) * math.ceil(width / self.cell)
        whole = self.epsilon * samples / self.m
        unit = f"{protected}; epsilon is {whole:,.6g} for a whole {height}×{width} image"
        return Privacy(self.epsilon, 0.0, unit, whole_image_epsilon=whole, whole_image_delta=0.0)
