"""A constant image: the control that must land on chance."""

import torch

from reidbench import Defense, Field, ReleaseRandom


class Blackout(Defense):
    """Publishes a constant image, in which nothing is left.

    A control: attacks on its release must land on chance, and so must the diagnosis.
    """

    name = "blackout"
    family = "control"
    value: float = Field(0.0, ge=0, le=1, description="grey level of every pixel, in units of the [0, 1] range")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns constant images: (B, 1, H, W)."""
        return torch.full_like(images, self.value)
