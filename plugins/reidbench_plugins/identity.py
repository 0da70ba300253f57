"""Nothing at all: the control that must reproduce the undefended figures."""

import torch

from reidbench import Defense, ReleaseRandom


class Identity(Defense):
    """Publishes every pixel as it is: what pseudonymization alone does to an image.

    A control: attacks on its release must equal attacks on the originals.
    """

    name = "identity"
    family = "control"
    differentiable = True

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns the images unchanged: (B, 1, H, W)."""
        return images
