"""Projects scenes to images: Beer-Lambert attenuation along the rays, scatter, quantum noise, and the display.

Everything is computed in double precision. Rounding differences between machines, thread counts and batch sizes are then
about 1e-13 of a grey level, so that they practically never move a byte.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidbench.cohorts.phantom.scene import APERTURE, Scene, rotation

Array = NDArray[np.float64]

#: Field of view at the detector in millimetres, before zoom.
FIELD = 350.0
#: Attenuation of soft tissue a millimetre, at the effective energy of a chest exposure (about 120 kV).
TISSUE = 0.0185
#: Bytes of working memory that one batch may take; larger requests are rendered in parts.
_WORKING = 16 * 2**20
#: The least exponent of a Gaussian: e**-60 is nothing, but smaller numbers would be denormal, and a processor crawls there.
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


def pose(scene: Scene, v: dict[str, Array]) -> Scene:
    """Turns the bodies, magnifies by the distance to the detector, and shifts: the same scene in detector coordinates.

    A diverging beam enlarges what lies far from the detector: the heart in AP, the spine in PA. Each ellipsoid is
    enlarged as a whole by its center's magnification, each point by its own.
    """
    turn = rotation(v["roll"], 2) @ rotation(v["tilt"], 0) @ rotation(v["yaw"], 1)
    ap = v["ap"] > 0
    distance = np.where(ap, 1050.0, 1800.0)  # from the source to the detector
    gap = np.where(ap, -1.0, 1.0) * 140.0  # z of the detector

    def magnify(z: Array) -> Array:
        shape = (-1,) + (1,) * (z.ndim - 1)
        away = np.abs(gap.reshape(shape) - z)
        return distance.reshape(shape) / (distance.reshape(shape) - away)

    middle = magnify(np.zeros(scene.batch))
    shift = np.stack([v["shift_x"], v["shift_y"]], axis=-1)
    out = Scene(scene.batch)
    for name, center in scene.centers.items():
        turned = np.einsum("bij,bj->bi", turn, center)
        scale = magnify(turned[:, 2]) / middle
        axes = (turn @ scene.axes[name]) * scale[:, None, None]
        out.centers[name] = np.concatenate([turned[:, :2] * scale[:, None] + shift, turned[:, 2:]], axis=1)
        out.axes[name] = axes
    for chunk in scene.points:
        turned = np.einsum("bij,bnj->bni", turn, chunk[..., :3])
        scale = magnify(turned[..., 2]) / middle[:, None]
        moved = np.concatenate([turned[..., :2] * scale[..., None] + shift[:, None], turned[..., 2:]], axis=-1)
        rest = np.stack([chunk[..., 3] * scale, chunk[..., 4] * scale, chunk[..., 5] * scale**2], axis=-1)
        out.points.append(np.concatenate([moved, rest], axis=-1))
    return out


def ray_constants(center: Array, axes: Array) -> Array:
    """What a ray parallel to z needs to meet an ellipsoid: (B, 8).

    The chord is ``2 * half * sqrt(1 - q)`` with ``q = a*dx**2 + 2*b*dx*dy + c*dy**2``, and its middle lies at
    ``z + sx*dx + sy*dy``. Columns: x, y, z, a, 2b, c, half, then sx and sy packed behind: (B, 9).
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
    """Half chords and middles of a batch's ellipsoids on a pixel grid, computed once each."""

    def __init__(self, constants: dict[str, Tensor], grid: Tensor) -> None:
        self._constants = constants
        self._grid = grid  # (B, S): coordinates of the pixel centres, the same for rows and columns
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._constants

    def interval(self, name: str) -> tuple[Tensor, Tensor]:
        """Half chord and middle, each (B, S, S)."""
        if name not in self._seen:
            k = self._constants[name][:, :, None]
            dx, dy = self._grid - k[:, 0], self._grid - k[:, 1]
            if name.startswith("dome"):
                dy = dy.clamp(max=0.0)  # the belly under the dome goes on to the feet
            across = (1.0 - k[:, 3] * dx * dx)[:, None, :]
            down = (k[:, 5] * dy * dy)[:, :, None]
            mixed = (k[:, 4] * dy)[:, :, None]
            inside = torch.addcmul(across - down, mixed, dx[:, None, :], value=-1.0)
            inside.clamp_(min=0.0)
            if name == "torso":
                inside = inside * (2.0 - inside)  # 1 - q**2: a trunk is flatter than an ellipsoid
            half = inside.sqrt_().mul_(k[:, 6, :, None])
            middle = (k[:, 2] + k[:, 7] * dx)[:, None, :] + (k[:, 8] * dy)[:, :, None]
            self._seen[name] = (half, middle)
        return self._seen[name]

    def chord(self, name: str) -> Tensor:
        """Length of each ray inside the ellipsoid, (B, S, S) in millimetres."""
        return 2.0 * self.interval(name)[0]

    def overlap(self, one: str, other: str) -> Tensor:
        """Length of each ray inside both ellipsoids, (B, S, S) in millimetres."""
        h1, m1 = self.interval(one)
        h2, m2 = self.interval(other)
        high = torch.minimum(m1 + h1, m2 + h2)
        return high.sub_(torch.maximum(m1 - h1, m2 - h2)).clamp_(min=0.0)


def _air(rays: Rays, side: str) -> Tensor:
    """Millimetres of lung on each ray: what the heart, the diaphragm and fluid leave of it.

    Displacing bodies that overlap each other are taken as independent, so that nothing is displaced twice.
    """
    lung = rays.chord(f"lung_{side}")
    safe = lung + 1e-9
    air = lung.clone()
    for name in _DISPLACES[side]:
        if name in rays:
            air.mul_(1.0 - rays.overlap(f"lung_{side}", name) / safe)
    return air


def _soft_points(points: Tensor, grid: Tensor, pixel: Tensor) -> Tensor:
    """Sum of all soft points on the grid, (B, S, S): one matrix product, since a Gaussian is a row times a column."""
    x, y, _, sx, sy, mass = points.unbind(-1)
    aperture = (pixel**2 * APERTURE)[:, None]
    sx, sy = (sx * sx + aperture).rsqrt(), (sy * sy + aperture).rsqrt()
    across = (
        ((grid[:, None, :] - x[..., None]) * (sx * math.sqrt(0.5))[..., None]).square_().neg_().clamp_(min=_FAR).exp_()
    )
    down = (
        ((grid[:, None, :] - y[..., None]) * (sy * math.sqrt(0.5))[..., None]).square_().neg_().clamp_(min=_FAR).exp_()
    )
    across.mul_((mass * sx * sy / (2 * math.pi))[..., None])
    return torch.bmm(down.transpose(1, 2), across)


def attenuation(rays: Rays, points: Tensor, grid: Tensor, pixel: Tensor, a: dict[str, Tensor]) -> Tensor:
    """Line integrals of the attenuation, (B, S, S)."""
    soft = rays.chord(_SOFT[0])
    for name in _SOFT[1:]:
        soft = torch.maximum(soft, rays.chord(name))
    soft = soft + 0.8 * (rays.chord("breast_right") + rays.chord("breast_left"))
    soft = soft - rays.chord("bubble") * 0.75
    density = a["lung_density"][:, None, None]
    for side in ("right", "left"):
        air = _air(rays, side)
        soft = soft - air * (1.0 - density)
        if f"rest_{side}" in rays:
            # Free air around a collapsed lung, and the lung the denser for it.
            lung, rest = rays.chord(f"lung_{side}"), rays.overlap(f"lung_{side}", f"rest_{side}")
            open_ = (rays.chord(f"rest_{side}").amax(dim=(1, 2), keepdim=True) > 0).to(torch.float64)
            share = rest / (lung + 1e-9)
            soft = soft + open_ * air * density * (0.9 * share - (1.0 - share))
    return (soft * TISSUE + _soft_points(points, grid, pixel)).clamp_(min=0.0)


def _seen(points: Array, field: Array) -> Array:
    """The points that leave a trace in the picture, (B, m, 6): those with mass, and not far outside the field.

    Args:
        points: (B, n, 6) as in :class:`Scene`, posed.
        field: (B,) width of the picture in millimetres.
    """
    # At 8.5 standard deviations a Gaussian is 2e-16 of its peak; the aperture of the coarsest pixel is 3 mm.
    reach = 8.5 * np.maximum(points[..., 3], points[..., 4]) + 26.0
    gone = (points[..., 5] == 0) | (np.abs(points[..., :2]).max(-1) > field[:, None] / 2 + reach)
    order = np.argsort(gone, axis=1, kind="stable")[:, : max(1, int((~gone).sum(axis=1).max()))]
    kept = np.take_along_axis(points, order[..., None], axis=1)
    kept[..., 5] *= ~np.take_along_axis(gone, order, axis=1)
    return kept


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
    scene: Scene,
    a: dict[str, Array],
    v: dict[str, Array],
    size: int,
    grain: Array,
    *,
    device: torch.device | str = "cpu",
) -> NDArray[np.uint8]:
    """Images of a posed scene.

    Args:
        scene: what :func:`pose` gave, B bodies.
        a, v: anatomy and visit, (B,) each; only what the projection needs is read.
        size: width and height in pixels.
        grain: (B, size, size) standard normal numbers for the quantum noise.
        device: where to compute; all random numbers come from outside, so that it changes no more than rounding.

    Returns:
        (B, size, size) uint8.
    """
    points = _seen(np.concatenate(scene.points, axis=1), FIELD * np.exp(v["zoom"]))
    # What lies far away in all of the batch (a finding that nobody has) is left out: its chords would be 0.
    near = [name for name, center in scene.centers.items() if (np.abs(center[:, 0]) < 1e5).any()]
    constants = {name: ray_constants(scene.centers[name], scene.axes[name]) for name in near}
    each = 8 * size * (2 * points.shape[1] + 30 * size)
    step = max(1, _WORKING // each)
    out = np.empty((scene.batch, size, size), np.uint8)
    with torch.inference_mode():
        for begin in range(0, scene.batch, step):
            part = slice(begin, begin + step)

            def move(values: Array, part: slice = part) -> Tensor:
                return torch.from_numpy(np.ascontiguousarray(values[part])).to(device)

            visit = {name: move(values) for name, values in v.items()}
            body = {"lung_density": move(a["lung_density"])}
            pixel = FIELD * torch.exp(visit["zoom"]) / size
            at = torch.arange(size, dtype=torch.float64, device=device) - (size - 1) / 2
            grid = pixel[:, None] * at
            rays = Rays({name: move(k) for name, k in constants.items()}, grid)
            lines = attenuation(rays, move(points), grid, pixel, body)
            grey = expose(lines, visit, pixel, move(grain)) * _shutter(size, visit["u"])
            out[part] = (grey * 255.0).round_().to(torch.uint8).cpu().numpy()
    return out
