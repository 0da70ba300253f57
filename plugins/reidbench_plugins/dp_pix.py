"""Differentially private pixelization."""

import torch

from reidbench import Defense, Field, Privacy, ReleaseRandom
from reidbench_plugins._cells import cell_means, cell_sizes, fill_cells


class DPPix(Defense):
    """Publishes cell means with Laplace noise: differential privacy of m pixels (DP-Pix).

    Fan, "Image Pixelization with Differential Privacy" (2018): the mean of b × b pixels changes by at most m/b² when m
    pixels change, so Laplace noise of scale m / (b² epsilon) makes the release epsilon-differentially private for any
    m pixels; the result is clipped to [0, 1]. Cells cut off by an edge have fewer pixels and get the more noise.
    m pixels are neither a face nor a thorax: the bound for a whole image is H·W/m times epsilon.
    """

    name = "dp_pix"
    family = "formal"
    differentiable = True
    operating_points = {
        "mild": {"b": 8, "epsilon": 1.0},
        "moderate": {"b": 8, "epsilon": 0.3},
        "strong": {"b": 8, "epsilon": 0.1},
        "severe": {"b": 4, "epsilon": 0.1},
    }
    b: int = Field(8, ge=1, le=256, description="width and height of a cell in pixels")
    m: int = Field(
        1, ge=1, le=65_536, description="number of pixels, anywhere in the image, that are protected together"
    )
    epsilon: float = Field(0.1, ge=0.001, le=100, description="privacy budget for m pixels; smaller is stronger")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns noisy mosaics: (B, 1, H, W)."""
        height, width = images.shape[-2:]
        cells = cell_means(images, self.b)
        scale = self.m / (cell_sizes(height, width, self.b).to(cells) * self.epsilon)
        noisy = (cells + scale * rng.laplace_like(cells)).clamp(0, 1)
        return fill_cells(noisy, self.b, height, width)

    def privacy(self, height: int, width: int) -> Privacy:
        """Pure differential privacy of m pixels."""
        protected = "a pixel" if self.m == 1 else f"{self.m} pixels of an image"
        whole = self.epsilon * height * width / self.m
        unit = f"{protected}; epsilon is {whole:,.6g} for a whole {height}×{width} image"
        return Privacy(self.epsilon, 0.0, unit, whole_image_epsilon=whole, whole_image_delta=0.0)
