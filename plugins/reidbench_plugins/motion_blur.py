"""Smoothing along a line."""

import kornia.filters
import torch
import torch.nn.functional as F
from pydantic import field_validator

from reidbench import Defense, Field, ReleaseRandom


class MotionBlur(Defense):
    """Blurs along a line, as by a movement during the exposure.

    The mean over the pixels of a line of the given length and angle (kornia's motion kernel, nearest pixels), edge
    pixels repeated beyond the border. Structure across the line stays sharp, which an attacker may use. No formal
    guarantee.
    """

    name = "motion_blur"
    family = "blur"
    differentiable = True
    operating_points = {
        "mild": {"length": 3},
        "moderate": {"length": 7},
        "strong": {"length": 15},
        "severe": {"length": 31},
    }
    length: int = Field(7, ge=3, le=61, description="length of the line in pixels, odd")
    angle: float = Field(0.0, ge=0, le=180, description="direction of the line in degrees, anti-clockwise from the row")

    @field_validator("length")
    @classmethod
    def _odd(cls, length: int) -> int:
        if length % 2 == 0:
            raise ValueError(f"an even line has no middle pixel: take {length - 1} or {length + 1}")
        return length

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns blurred images: (B, 1, H, W)."""
        height, width = images.shape[-2:]
        kernel = kornia.filters.get_motion_kernel2d(self.length, self.angle)[0]
        padded = F.pad(images, (self.length // 2,) * 4, mode="replicate")
        blurred = torch.zeros_like(images)
        # A line has few taps, and adding them up one by one rounds alike in every batch; a convolution does neither.
        for row, column in kernel.nonzero().tolist():
            blurred += padded[..., row : row + height, column : column + width] * float(kernel[row, column])
        return blurred.clamp(0, 1)
