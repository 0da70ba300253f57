"""The changes that simple defenses make, cheaply and at random strengths, for training images: :class:`Augmentation`.

Each takes (B, 1, H, W) images in [0, 1] and a strength for each image, (B, 1, 1, 1), and gives images of that shape.
They stand for kinds of change, and equal no defense's output: what an attacker learns from them, it knows of any
published image, with no defense named.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

#: Deviation of the noise, in units of the [0, 1] range.
NOISE = (0.02, 0.4)
#: Deviation of the blur, as a share of the width: 0.3 (the least anywhere) to 4 pixels at 64².
BLUR = (0.005, 0.0625)
#: libjpeg's quality.
QUALITY = (10.0, 95.0)
#: Cells a side of coarse pixels.
CELLS = (8, 12, 16, 24, 32)

#: Luminance quantization at quality 50 (ITU-T T.81, table K.1).
_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)

#: Uniform draws in [0, 1) of the shape asked for.
Uniform = Callable[[tuple[int, ...]], torch.Tensor]


def degraded(images: torch.Tensor, chance: float, uniform: Uniform) -> torch.Tensor:
    """Each image with this chance noisy, blurred, compressed or of coarse pixels, one of the four; never in place.

    Args:
        images: (B, 1, H, W); the changed ones are first cut to [0, 1], as a published image is.
        chance: 0 to 1.
        uniform: where all draws come from.
    """
    count = len(images)
    # A kind for each image: 4 and more for none.
    kind = (uniform((count,)) * 4 / chance).long()
    strength = uniform((count, 1, 1, 1))
    out = images.clone()
    for number, change in enumerate((_noisy, _blurred, _compressed, _coarse)):
        chosen = (kind == number).nonzero()[:, 0]
        if len(chosen):
            out[chosen] = change(images[chosen].clamp(0, 1), strength[chosen], uniform).clamp(0, 1)
    return out


def _noisy(images: torch.Tensor, strength: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    # Box and Muller: one source of uniform numbers serves for all.
    radius = (-2 * (1 - uniform(tuple(images.shape))).log()).sqrt()
    normal = radius * (2 * math.pi * uniform(tuple(images.shape))).cos()
    return images + _between(NOISE, strength) * normal


def _blurred(images: torch.Tensor, strength: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    deviation = (_between(BLUR, strength) * images.shape[-1]).clamp(min=0.3)
    reach = min(math.ceil(2.5 * BLUR[1] * images.shape[-1]), *(side - 1 for side in images.shape[-2:]))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernels = kernels / kernels.sum(dim=-1, keepdim=True)
    # Every image with a kernel of its own: images as the channels of one.
    padded = functional.pad(images, (reach,) * 4, mode="replicate").transpose(0, 1)
    across = functional.conv2d(padded, kernels, groups=len(images))
    return functional.conv2d(across, kernels.transpose(2, 3), groups=len(images)).transpose(0, 1)


def _compressed(images: torch.Tensor, strength: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    """What JPEG's rounding of cosine coefficients does to a grey image; Pillow's codec takes one image at a time."""
    quality = QUALITY[0] + (QUALITY[1] - QUALITY[0]) * strength
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = torch.tensor(_STEPS, device=images.device, dtype=images.dtype)
    steps = (table * factor).round().clamp(1, 255)[:, :, None]
    cosines = _cosines(images.device, images.dtype)
    height, width = images.shape[-2:]
    padded = functional.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    # (B, rows of blocks, columns of blocks, 8, 8)
    blocks = padded[:, 0].unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).transpose(2, 3)
    coefficients = cosines @ (255 * blocks - 128) @ cosines.T
    rounded = (coefficients / steps).round() * steps
    back = (cosines.T @ rounded @ cosines + 128) / 255
    whole = back.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return whole[:, None, :height, :width]


def _coarse(images: torch.Tensor, strength: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    out = torch.empty_like(images)
    which = (strength.flatten() * len(CELLS)).long()
    for number, cells in enumerate(CELLS):
        chosen = (which == number).nonzero()[:, 0]
        if len(chosen):
            # Of at least two pixels a side.
            height, width = (min(cells, side // 2) for side in images.shape[-2:])
            means = functional.adaptive_avg_pool2d(images[chosen], (height, width))
            out[chosen] = functional.interpolate(means, size=tuple(images.shape[-2:]), mode="nearest-exact")
    return out


def _between(limits: tuple[float, float], strength: torch.Tensor) -> torch.Tensor:
    """From [0, 1) to between the limits, evenly in the logarithm."""
    low, high = limits
    return low * (high / low) ** strength


def _cosines(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The orthonormal cosine transform of eight numbers, (8, 8)."""
    place = torch.arange(8, device=device, dtype=dtype)
    rows = torch.cos(math.pi * (2 * place + 1) * place[:, None] / 16) / 2
    rows[0] /= math.sqrt(2)
    return rows
