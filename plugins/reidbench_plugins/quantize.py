"""Fewer grey levels."""

import torch

from reidbench import Defense, Field, ReleaseRandom


class Quantize(Defense):
    """Rounds to fewer grey levels, black and white among them.

    Every pixel takes the nearest of ``levels`` values that are evenly spaced in [0, 1]. 256 levels would change nothing
    and are refused. No formal guarantee.
    """

    name = "quantize"
    family = "processing"
    operating_points = {
        "mild": {"levels": 32},
        "moderate": {"levels": 16},
        "strong": {"levels": 8},
        "severe": {"levels": 2},
    }
    levels: int = Field(16, ge=2, le=255, description="number of grey levels that are left")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns images of few levels: (B, 1, H, W)."""
        return (images * (self.levels - 1)).round() / (self.levels - 1)
