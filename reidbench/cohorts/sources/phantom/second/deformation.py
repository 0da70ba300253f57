"""Smooth deformations in the picture's plane: what makes outlines irregular, the patient's own and the visit's.

A displacement is a sum of products of sines that vanish at the edges of a square around the body, with amplitudes
that fall with the frequency. It moves line integrals, after the projection: whatever lies on one ray moves together.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[np.float64]

#: Frequencies along each side.
MODES = 4
#: Half the width in millimetres of the square in which a body is deformed.
REACH = 210.0
#: Root mean square in millimetres of what is the patient's own and of what a usual visit adds.
OWN, NOW = 6.5, 3.0
#: How much wider than version 1's bodies the upper chest is, whose lungs end in points.
WIDER_ABOVE = 0.1


def coefficients(own: Array, now: Array) -> Array:
    """(B, 2, MODES, MODES) amplitudes in millimetres from normal numbers of the same shape.

    Args:
        own: the patient's, of a deviation of 1.
        now: the visit's, of a deviation of 1 in a usual visit.
    """
    k = np.arange(1, MODES + 1)
    falling = (k[:, None] ** 2 + k[None] ** 2) ** -0.9
    # Each product of sines has a mean square of a quarter.
    falling = falling / np.sqrt((falling**2).sum() / 4)
    return falling * (OWN * np.clip(own, -2.2, 2.2) + NOW * np.clip(now, -4.0, 4.0))


def deform(lines: Tensor, amplitudes: Tensor, roll: Tensor, shift: Tensor, field: Tensor, aspect: Tensor) -> Tensor:
    """Line integrals (B, S, S) with the body in them deformed.

    Args:
        lines: as projected.
        amplitudes: (B, 2, MODES, MODES) in millimetres.
        roll: (B,) degrees by which the body is turned in the picture.
        shift: (B, 2) millimetres by which it is shifted.
        field: (B,) width of the picture in millimetres.
        aspect: (B,) logarithm of how much wider than high the part of the picture is that is made a square.
    """
    size = lines.shape[-1]
    at = (torch.arange(size, dtype=lines.dtype, device=lines.device) + 0.5) / size - 0.5
    x = field[:, None, None] * at[None, None, :] - shift[:, 0, None, None]
    y = field[:, None, None] * at[None, :, None] - shift[:, 1, None, None]
    angle = torch.deg2rad(roll)[:, None, None]
    c, s = torch.cos(angle), torch.sin(angle)
    across, down = c * x + s * y, c * y - s * x
    waves = math.pi / (2 * REACH) * torch.arange(1, MODES + 1, dtype=lines.dtype, device=lines.device)

    def sines(along: Tensor) -> Tensor:
        # Outside of the square nothing moves.
        return torch.sin(waves[:, None, None] * (along.clamp(-REACH, REACH) + REACH)[:, None])

    moved = torch.einsum("bcij,bihw,bjhw->bchw", amplitudes, sines(across), sines(down))
    # The upper chest is widened: what is seen there comes from nearer the middle.
    above = torch.sigmoid((-70.0 - down) / 22.0) * torch.exp(-((across / 150.0) ** 4))
    moved_x = moved[:, 0] - across * above * (WIDER_ABOVE / (1 + WIDER_ABOVE))
    moved_y = moved[:, 1]
    step_x, step_y = c * moved_x - s * moved_y, s * moved_x + c * moved_y
    half = field[:, None, None] / 2
    # One side is cut, so that nothing beyond the picture is needed.
    wide, high = (torch.exp((sign * aspect - aspect.abs()) / 2)[:, None, None] for sign in (1, -1))
    to_x, to_y = 2 * at[None, None, :] * wide + step_x / half, 2 * at[None, :, None] * high + step_y / half
    grid = torch.stack([to_x, to_y], dim=-1)
    moved = functional.grid_sample(lines[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved[:, 0].clamp(min=0.0)
