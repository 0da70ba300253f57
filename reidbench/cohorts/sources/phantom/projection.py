"""Projects scenes: the line integrals of the attenuation along the rays, as Beer and Lambert ask for them.

Everything is computed in double precision. Rounding differences between machines, thread counts and batch sizes are
then about 1e-13 of a grey level, so that they practically never move a byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidbench.cohorts.sources.phantom.pose import FIELD
from reidbench.cohorts.sources.phantom.scene import APERTURE, TRUNK, Scene

Array = NDArray[np.float64]

#: Attenuation of soft tissue a millimetre, at the effective energy of a chest exposure (about 120 kV).
TISSUE = 0.0185
#: Bytes of working memory that one batch may take; larger requests are rendered in parts.
_WORKING = 16 * 2**20
#: The least exponent of a Gaussian: e**-60 is nothing, but denormal numbers lie below, and a processor crawls there.
_FAR = -60.0
_SOFT = (
    "torso",
    "neck",
    "trapezius_right",
    "trapezius_left",
    "shoulder_right",
    "shoulder_left",
    "arm_right",
    "arm_left",
)
#: What displaces air in each lung, beside the findings.
_DISPLACES = {
    "right": ("dome_right", "atrium", "ventricle", "mediastinum", "cava", "fluid_right"),
    "left": ("dome_left", "ventricle", "atrium", "mediastinum", "trunk", "knob", "aorta", "fluid_left"),
}


def ray_constants(center: Array, axes: Array) -> Array:
    """What a ray parallel to z needs to meet an ellipsoid: (B, 9).

    The chord is ``2 * half * sqrt(1 - q)`` with ``q = a*dx**2 + 2*b*dx*dy + c*dy**2``, and its middle lies at
    ``z + sx*dx + sy*dy``. Columns: x, y, z, a, 2b, c, half, sx, sy.
    """
    inverse = np.linalg.inv(axes)
    metric = np.einsum("bki,bkj->bij", inverse, inverse)
    szz = metric[:, 2, 2]
    sx, sy = -metric[:, 0, 2] / szz, -metric[:, 1, 2] / szz
    a = metric[:, 0, 0] - metric[:, 0, 2] ** 2 / szz
    b = metric[:, 0, 1] - metric[:, 0, 2] * metric[:, 1, 2] / szz
    c = metric[:, 1, 1] - metric[:, 1, 2] ** 2 / szz
    return np.stack([center[:, 0], center[:, 1], center[:, 2], a, 2 * b, c, 1 / np.sqrt(szz), sx, sy], axis=-1)


class Rays:
    """Where a batch's rays enter and leave its ellipsoids, computed once each."""

    def __init__(self, constants: dict[str, Tensor], grid: Tensor, flat: frozenset[str] = TRUNK) -> None:
        self._constants = constants
        self._flat = flat
        self._grid = grid  # (B, S): coordinates of the pixel centres, the same for rows and columns
        self._halves: dict[str, Tensor] = {}
        self._ends: dict[str, tuple[Tensor, Tensor]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._constants

    def _offsets(self, name: str) -> tuple[Tensor, Tensor]:
        k = self._constants[name]
        dx, dy = self._grid - k[:, 0, None], self._grid - k[:, 1, None]
        if name.startswith("dome"):
            dy = dy.clamp(max=0.0)  # the belly under the dome goes on to the feet
        return dx, dy

    def half(self, name: str) -> Tensor:
        """Half the length of each ray inside the ellipsoid, (B, S, S) in millimetres."""
        if name not in self._halves:
            k = self._constants[name][:, :, None]
            dx, dy = self._offsets(name)
            across, down = 1.0 - k[:, 3] * dx * dx, k[:, 5] * dy * dy
            inside = torch.addcmul(across[:, None, :], (k[:, 4] * dy)[:, :, None], dx[:, None, :], value=-1.0)
            inside.sub_(down[:, :, None]).clamp_(min=0.0)
            if name in self._flat:
                inside.mul_(2.0 - inside)  # 1 - q**2
            self._halves[name] = inside.sqrt_().mul_(k[:, 6, :, None])
        return self._halves[name]

    def ends(self, name: str) -> tuple[Tensor, Tensor]:
        """z where each ray enters and where it leaves, (B, S, S) each; equal where it misses."""
        if name not in self._ends:
            k = self._constants[name][:, :, None]
            dx, dy = self._offsets(name)
            middle = (k[:, 2] + k[:, 7] * dx)[:, None, :] + (k[:, 8] * dy)[:, :, None]
            half = self.half(name)
            self._ends[name] = (middle - half, middle + half)
        return self._ends[name]

    def overlap(self, one: str, other: str) -> Tensor:
        """Length of each ray inside both ellipsoids, (B, S, S) in millimetres."""
        (near, far), (low, high) = self.ends(one), self.ends(other)
        return torch.minimum(far, high).sub_(torch.maximum(near, low)).clamp_(min=0.0)


def _air(rays: Rays, side: str) -> Tensor:
    """Millimetres of lung on each ray: what the heart, the diaphragm and fluid leave of it.

    Displacing bodies that overlap each other are taken as independent, so that nothing is displaced twice.
    """
    air = 2.0 * rays.half(f"lung_{side}")
    share = -1.0 / (air + 1e-9)
    for name in _DISPLACES[side]:
        if name in rays:
            air.addcmul_(air * share, rays.overlap(f"lung_{side}", name))
    return air


def _soft_points(points: Tensor, grid: Tensor, pixel: Tensor) -> Tensor:
    """Sum of all soft points on the grid, (B, S, S): one matrix product, since a Gaussian is a row times a column."""
    x, y, _, sx, sy, mass = points.unbind(-1)
    aperture = (pixel**2 * APERTURE)[:, None]
    sx, sy = (sx * sx + aperture).rsqrt(), (sy * sy + aperture).rsqrt()
    across = _gaussians(grid, x, sx)
    down = _gaussians(grid, y, sy)
    across.mul_((mass * sx * sy / (2 * math.pi))[..., None])
    return torch.bmm(down.transpose(1, 2), across)


def _gaussians(grid: Tensor, at: Tensor, inverse: Tensor) -> Tensor:
    """(B, n, S): at each coordinate of ``grid``, Gaussians of unit height at ``at``, of width 1 / ``inverse``."""
    scale = inverse * math.sqrt(0.5)
    distance = torch.addcmul((-at * scale)[..., None], grid[:, None, :], scale[..., None])
    return distance.mul_(distance).neg_().clamp_(min=_FAR).exp_()


def attenuation(rays: Rays, points: Tensor, grid: Tensor, pixel: Tensor, density: Tensor) -> Tensor:
    """Line integrals of the attenuation, (B, S, S); ``density`` is the lung's, (B,), as a share of soft tissue's."""
    soft = rays.half(_SOFT[0])
    for name in _SOFT[1:]:
        soft = torch.maximum(soft, rays.half(name))
    soft = 2.0 * soft + 1.6 * (rays.half("breast_right") + rays.half("breast_left"))
    soft.sub_(rays.half("bubble"), alpha=1.5)
    density = density[:, None, None]
    for side in ("right", "left"):
        if f"lung_{side}" not in rays:
            continue
        air = _air(rays, side)
        soft.sub_(air * (1.0 - density))
        if f"rest_{side}" in rays:
            # Free air around a collapsed lung, and the lung the denser for it.
            lung, rest = 2.0 * rays.half(f"lung_{side}"), rays.overlap(f"lung_{side}", f"rest_{side}")
            collapsed = (rays.half(f"rest_{side}").amax(dim=(1, 2), keepdim=True) > 0).to(torch.float64)
            share = rest / (lung + 1e-9)
            soft.add_(collapsed * air * density * (1.9 * share - 1.0))
    return soft.mul_(TISSUE).add_(_soft_points(points, grid, pixel)).clamp_(min=0.0)


def _seen(points: Array, field: Array, size: int) -> Array:
    """The points that leave a trace in the picture, (B, m, 6): those with mass, and not far outside the field.

    Args:
        points: (B, n, 6) as in :class:`Scene`, posed.
        field: (B,) width of the picture in millimetres.
        size: of the picture in pixels.
    """
    # At 8.5 standard deviations a Gaussian is 2e-16 of its peak.
    reach = 8.5 * (np.maximum(points[..., 3], points[..., 4]) + field[:, None] / size)
    gone = (points[..., 5] == 0) | (np.abs(points[..., :2]).max(-1) > field[:, None] / 2 + reach)
    order = np.argsort(gone, axis=1, kind="stable")[:, : max(1, int((~gone).sum(axis=1).max()))]
    kept = np.take_along_axis(points, order[..., None], axis=1)
    kept[..., 5] *= ~np.take_along_axis(gone, order, axis=1)
    return kept


@dataclass(frozen=True)
class Projected:
    """Line integrals of a few bodies.

    Attributes:
        part: which of the scene's bodies.
        lines: (b, S, S) line integrals of the attenuation.
        pixel: (b,) size of a pixel in millimetres.
    """

    part: slice
    lines: Tensor
    pixel: Tensor


def project(scene: Scene, zoom: Array, size: int, device: torch.device | str = "cpu") -> Iterator[Projected]:
    """Projects a posed scene, a few bodies at a time so that the work stays in the processor's cache.

    Args:
        scene: what :func:`pose` gave, B bodies.
        zoom: (B,) log of the field's size.
        size: width and height in pixels.
        device: where to compute.
    """
    field = FIELD * np.exp(zoom)
    points = _seen(scene.all_points(), field, size)
    # Bodies far away in the whole batch (a finding that no patient has) are left out: their chords would be 0.
    near = [name for name, center in scene.centers.items() if (np.abs(center[:, 0]) < 1e5).any()]
    constants = {name: ray_constants(scene.centers[name], scene.axes[name]) for name in near}
    step = max(1, _WORKING // (8 * size * (2 * points.shape[1] + 30 * size)))
    at = torch.arange(size, dtype=torch.float64, device=device) - (size - 1) / 2
    for begin in range(0, scene.batch, step):
        part = slice(begin, begin + step)
        pixel = torch.from_numpy(field[part] / size).to(device)
        grid = pixel[:, None] * at
        rays = Rays({name: torch.from_numpy(k[part]).to(device) for name, k in constants.items()}, grid, scene.flat)
        some, density = (torch.from_numpy(x[part]).to(device) for x in (points, scene.lung_density))
        yield Projected(part, attenuation(rays, some, grid, pixel, density), pixel)
