"""From line integrals to a picture of version 2: exposure, a vendor's processing, the display, the film's frame."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Taps of a blur reach so many standard deviations.
_TAPS = 2.5


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """(B, S, S) blurred by a Gaussian of ``sigma``, (B,) pixels; edges repeated by normalization."""
    size = images.shape[-1]
    at = torch.arange(size, dtype=images.dtype, device=images.device)
    distance = (at[:, None] - at)[None] / sigma.clamp(min=1e-3)[:, None, None]
    kernel = torch.exp(-0.5 * distance.square())
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return torch.bmm(torch.bmm(kernel, images), kernel.transpose(1, 2))


def coarse_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """The same for a sigma of several pixels, computed on at most 64 × 64 of them."""
    size = images.shape[-1]
    if size <= 64:
        return blur(images, sigma)
    small = functional.interpolate(images[:, None], (64, 64), mode="area")[:, 0]
    wide = blur(small, sigma * 64 / size)
    return functional.interpolate(wide[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def expose(lines: Tensor, v: dict[str, Tensor], pixel: Tensor, grain: Tensor) -> Tensor:
    """The detector's signal, the logarithm of what arrives: beam, scatter, quanta.

    Args:
        lines: (B, S, S) line integrals.
        v: the visit's parameters, (B,) each.
        pixel: (B,) size of a pixel in millimetres.
        grain: (B, S, S) standard normal numbers.
    """
    size = lines.shape[-1]
    along = torch.linspace(-1.0, 1.0, size, dtype=lines.dtype, device=lines.device)
    beam = 1.0 + v["heel"][:, None, None] * along[:, None] + v["side_heel"][:, None, None] * along
    primary = torch.exp(-lines * torch.exp(v["kilovolt"])[:, None, None]) * beam
    share = (0.26 * torch.exp(v["scatter"]) * (1 + 0.7 * v["ap"]))[:, None, None]
    total = primary + share * coarse_blur(primary, 34.0 / pixel)
    quanta = (1.8e4 * torch.exp(v["dose"]) * (1 - 0.4 * v["ap"]) * pixel**2)[:, None, None]
    total = (total + grain * torch.sqrt(total / quanta)).clamp(min=1e-4)
    return -torch.log(total)


def display(signal: Tensor, v: dict[str, Tensor], pixel: Tensor) -> Tensor:
    """Grey levels in [0, 1]: a vendor's local contrast and sharpening, a window set by quantiles, a curve.

    Args:
        signal: (B, S, S) from :func:`expose`.
        v: the visit's parameters; ``u`` (B, UNIFORMS) chooses the processing.
        pixel: (B,) size of a pixel in millimetres.
    """
    u = v["u"][:, 58:]
    size, arrived = signal.shape[-1], signal
    near = coarse_blur(signal, 26.0 / pixel)
    # Rooms equalize and sharpen more or less, bedside films little.
    equalized = (0.45 * u[:, 0].square() * (1 - 0.5 * v["ap"]))[:, None, None]
    sharp = (0.25 * u[:, 1].square() * (1 - 0.5 * v["ap"]))[:, None, None]
    fine = blur(signal, 7.0 / pixel) if size <= 64 else coarse_blur(signal, 7.0 / pixel)
    signal = signal + sharp * (signal - fine) - equalized * (near - near.mean(dim=(1, 2), keepdim=True))
    # The window follows the middle of the field, without its edges.
    low, high = size // 8, size - size // 8
    inner = signal[:, low:high, low:high].flatten(1)
    inner = inner[:, :: max(1, inner.shape[1] // 2304)].sort(dim=1).values
    count = inner.shape[1] - 1

    def quantile(at: Tensor) -> Tensor:
        place = at.clamp(0, 1) * count
        below = place.floor().long().clamp(max=count - 1)
        part = place - below
        a, b = (inner.gather(1, index[:, None])[:, 0] for index in (below, below + 1))
        return a * (1 - part) + b * part

    black = quantile(0.012 * torch.exp(0.9 * v["clip_low"]))
    white = quantile(1.0 - 0.018 * torch.exp(1.1 * v["clip_high"]))
    span = (white - black).clamp(min=0.2)
    # Lungs need not be black: a part of the range is left below them.
    level = (signal - black[:, None, None]) / span[:, None, None]
    gamma = (0.62 * torch.exp(v["gamma"]))[:, None, None]
    lower = level.clamp(0, 1)
    bent = lower**gamma
    steep = torch.sigmoid(6.0 * (lower - 0.5))
    mix = (0.4 * u[:, 2])[:, None, None]
    grey = (1 - mix) * bent + mix * steep
    # Flat films, at the bedside above all: neither black nor white in the body.
    flat = torch.sigmoid(v["flat"] - 0.9 + 1.5 * v["ap"])
    floor = (0.42 * torch.sigmoid(v["floor"]) * (0.4 + 0.6 * flat))[:, None, None]
    top = (0.93 - 0.22 * flat * u[:, 3])[:, None, None]
    # What is blacker than the lungs, the air around the body, goes down to black.
    air = torch.sigmoid((arrived - 0.5) / 0.12)
    return ((floor + (top - floor) * grey) * air).clamp(0, 1)


def frame(grey: Tensor, v: dict[str, Tensor]) -> Tensor:
    """The picture in its collimated field: a turned rectangle on black, sometimes on white, on some films only."""
    u = v["u"][:, 62:]
    size = grey.shape[-1]
    at = (torch.arange(size, dtype=grey.dtype, device=grey.device) + 0.5) / size - 0.5
    # Some have a border of the digitizer, a few a wide one.
    used = (u[:, 0] < 0.10 + 0.15 * v["ap"]).to(grey.dtype)
    wide = 1 + (u[:, 0] < 0.02 + 0.05 * v["ap"]).to(grey.dtype)
    turn = torch.deg2rad(7.0 * (u[:, 1] - 0.5) * wide)
    c, s = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    x, y = at[None, None, :], at[None, :, None]
    across, down = c * x + s * y, c * y - s * x
    inside = torch.ones_like(grey)
    for index, edge in enumerate((across, -across, down, -down)):
        margin = 0.5 + 0.02 - used * (0.02 + 0.11 * u[:, 2 + index].square() * wide)
        # An edge as sharp as pixels are.
        inside = inside * ((margin[:, None, None] - edge) * size + 0.5).clamp(0, 1)
    inside = torch.where((used > 0)[:, None, None], inside, torch.ones_like(inside))
    light = torch.where(u[:, 6] < 0.08, 1.0, 0.04 * u[:, 7])[:, None, None]
    return grey * inside + light * (1 - inside)
