"""From line integrals to a picture: beam, scatter, quanta, logarithm, display, collimation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidbench.cohorts.sources.phantom.projection import project
from reidbench.cohorts.sources.phantom.scene import Scene
from reidbench.images import to_pixels
from reidbench.threads import one_thread

Array = NDArray[np.float64]


def _blur(size: int, millimetres: Tensor, pixel: Tensor) -> Tensor:
    """(B, S, S) matrices that blur a column by a Gaussian, edges repeated by normalization."""
    offset = torch.arange(size, dtype=torch.float64, device=pixel.device)
    distance = (offset[:, None] - offset)[None] * (pixel / millimetres)[:, None, None]
    kernel = torch.exp(-0.5 * distance.square())
    return kernel / kernel.sum(-1, keepdim=True)


def expose(lines: Tensor, v: dict[str, Tensor], pixel: Tensor, grain: Tensor) -> Tensor:
    """From line integrals to grey levels in [0, 1]: beam, scatter, quanta, logarithm, display window, gamma.

    Args:
        lines: (B, S, S) line integrals.
        v: the visit's parameters, (B,) each.
        pixel: (B,) size of a pixel in millimetres.
        grain: (B, S, S) standard normal numbers.
    """
    size = lines.shape[-1]
    field = torch.linspace(-1.0, 1.0, size, dtype=torch.float64, device=lines.device)
    beam = 1.0 + v["heel"][:, None] * field
    primary = torch.exp(-lines * torch.exp(v["kilovolt"])[:, None, None]) * beam[:, :, None]
    wide = _blur(size, torch.full_like(pixel, 34.0), pixel)
    scatter = torch.bmm(torch.bmm(wide, primary), wide.transpose(1, 2))
    share = (0.28 * torch.exp(v["scatter"]) * (1 + 0.5 * v["ap"]))[:, None, None]
    total = primary + share * scatter
    quanta = (1.4e4 * torch.exp(v["dose"]) * pixel**2)[:, None, None]
    total = (total + grain * torch.sqrt(total / quanta)).clamp_(min=1e-4)
    signal = -torch.log(total)
    # The exposure control looks at the middle of the field; the display follows it, more or less well.
    low, high = size // 4, size - size // 4
    center = signal[:, low:high, low:high].mean(dim=(1, 2)) + 0.05
    width = 1.05 * torch.exp(v["width"])
    grey = torch.sigmoid(1.75 * ((signal - center[:, None, None]) / width[:, None, None] - v["center"][:, None, None]))
    return grey ** (0.8 * torch.exp(v["gamma"]))[:, None, None]


def _shutter(size: int, u: Tensor) -> Tensor:
    """(B, S, S) ones inside the collimated field; one exposure in six is collimated tighter than the detector."""
    used = (u[:, 2] < 1 / 6).to(torch.float64)
    at = (torch.arange(size, dtype=torch.float64, device=u.device) + 0.5) / size
    inside = torch.ones(len(u), size, size, dtype=torch.float64, device=u.device)
    for index, position in enumerate((at, 1 - at)):
        across = (position > (0.07 * u[:, 3 + index] * used)[:, None]).to(torch.float64)
        down = (position > (0.06 * u[:, 5 + index] * used)[:, None]).to(torch.float64)
        inside = inside * across[:, None, :] * down[:, :, None]
    return inside


def render(
    scene: Scene, v: dict[str, Array], size: int, grain: Array, *, device: torch.device | str = "cpu"
) -> NDArray[np.uint8]:
    """Images of a posed scene.

    Args:
        scene: B bodies, posed.
        v: visits, from :func:`reidbench.cohorts.sources.phantom.visit.visit`.
        size: width and height in pixels.
        grain: (B, size, size) standard normal numbers for the quantum noise.
        device: where to compute; all random numbers come from outside, so that it changes no more than rounding.

    Returns:
        (B, size, size) uint8.
    """
    out = np.empty((scene.batch, size, size), np.uint8)
    # A few bodies at a time are too little to share: threads would spend more on waiting for each other than they save,
    # very much more on a busy machine. Images are rendered in parallel by processes.
    with torch.inference_mode(), one_thread():
        for some in project(scene, v["zoom"], size, device):
            visit = {name: torch.from_numpy(values[some.part]).to(device) for name, values in v.items()}
            noise = torch.from_numpy(grain[some.part]).to(device)
            grey = expose(some.lines, visit, some.pixel, noise) * _shutter(size, visit["u"])
            out[some.part] = to_pixels(grey.unsqueeze(1))
    return out
