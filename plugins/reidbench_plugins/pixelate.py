"""Cell means."""

import torch

from reidbench import Defense, Field, ReleaseRandom
from reidbench_plugins._cells import cell_means, fill_cells


class Pixelate(Defense):
    """Replaces square cells by their mean: a mosaic.

    Cells start at the upper left; those cut off by the right or lower edge take the mean of what they have. A cell
    larger than the image publishes the image's mean. No formal guarantee; see dp_pix for one.
    """

    name = "pixelate"
    family = "blur"
    differentiable = True
    operating_points = {
        "mild": {"cell": 2},
        "moderate": {"cell": 4},
        "strong": {"cell": 8},
        "severe": {"cell": 16},
    }
    cell: int = Field(8, ge=2, le=1024, description="width and height of a cell in pixels")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns mosaics: (B, 1, H, W)."""
        height, width = images.shape[-2:]
        return fill_cells(cell_means(images, self.cell), self.cell, height, width)
