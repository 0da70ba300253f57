"""A smooth deformation that a key draws."""

import torch
import torch.nn.functional as F

from reidbench import Field, ReleaseRandom
from reidbench_plugins._keys import Key, KeyedDefense

#: Steps of the fixed-point iteration that inverts a deformation.
STEPS = 40


class KeyedDeformation(KeyedDefense):
    """Deforms an image by a smooth flow that a key draws, and that the key takes back.

    In the spirit of Kim, Dolz, Desrosiers and Jodoin, "Privacy preserving for medical image analysis via non-linear
    deformation proxy" (2020, arXiv 2011.12835): a client deforms images by a pseudo-random flow, a server analyses
    them, and the client takes the deformation back from its result. They train the generator of the flow against a
    siamese discriminator on MRI of the brain; here it is drawn: control points ``cells`` to the side of the image move
    by up to ``strength`` of their distance, uniformly, with uniform cubic B-splines between them. Up to 0.48 such a
    flow folds nowhere (Choi and Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", 2000), so
    that it has an inverse. Edges stay edges: what lies on one moves along it.

    ``undo`` with the key leaves what two interpolations blur. No formal guarantee: grey levels and texture stay.
    """

    name = "keyed_deformation"
    family = "keyed"
    differentiable = True
    operating_points = {
        "mild": {"strength": 0.1},
        "moderate": {"strength": 0.2},
        "strong": {"strength": 0.4},
        "severe": {"strength": 0.48, "key": "per_image"},
    }
    strength: float = Field(
        0.4, ge=0, le=0.48, description="most that a control point moves, in distances of two; 0 changes nothing"
    )
    cells: int = Field(6, ge=4, le=64, description="distances of control points that fit into a side of the image")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Deforms images: (B, 1, H, W)."""
        places = grid(images)
        return sample(images, places + self.flow(self._control(images, rng), places))

    def undo(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Samples images where the flow led from: p with p + flow(p) = q, by p ← q − flow(p)."""
        control, places = self._control(images, rng), grid(images)
        found = places.expand(len(control), -1, -1, -1)
        for _ in range(STEPS):
            found = places - self.flow(control, found)
        return sample(images, found)

    def _control(self, images: torch.Tensor, rng: ReleaseRandom) -> Key:
        """Displacements of the control points, x before y, in image sides: (K, 2, cells + 3, cells + 3)."""
        side = self.cells + 3
        drawn = (2 * self.numbers(images, rng, 2, side, side) - 1) * self.strength / self.cells
        # Three control points reach an edge: they do not move across it.
        drawn[:, 0, :, :3] = drawn[:, 0, :, -3:] = 0
        drawn[:, 1, :3] = drawn[:, 1, -3:] = 0
        return drawn

    def flow(self, control: Key, places: torch.Tensor) -> torch.Tensor:
        """The displacement at places (K or 1, H, W, 2), in image sides from 0 to 1: (K, H, W, 2)."""
        scaled = places.clamp(0, 1) * self.cells
        cell = scaled.floor().clamp(max=self.cells - 1)
        x, y = (splines(part) for part in (scaled - cell).unbind(-1))
        column, row = cell.long().unbind(-1)
        total = torch.zeros(len(control), *places.shape[1:], device=places.device)
        which = torch.arange(len(control), device=places.device).view(-1, 1, 1)
        for down in range(4):
            for right in range(4):
                moved = control[which, :, row + down, column + right]
                total = total + (y[down] * x[right])[..., None] * moved
        return total


def splines(t: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The four uniform cubic B-splines that reach a place ``t`` in [0, 1] of a cell; they sum to 1."""
    return (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )


def grid(images: torch.Tensor) -> torch.Tensor:
    """Where pixels are, x before y, from 0 to 1 between the centres of the outermost: (1, H, W, 2)."""
    y, x = (torch.linspace(0, 1, length, device=images.device) for length in images.shape[-2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def sample(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Images at places (K or 1, H, W, 2), bilinearly."""
    where = (2 * places - 1).expand(len(images), -1, -1, -1).to(images.dtype)
    return F.grid_sample(images, where, padding_mode="border", align_corners=True)
