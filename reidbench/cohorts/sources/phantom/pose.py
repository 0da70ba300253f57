"""Poses scenes: from a body's own coordinates to those of the detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.scene import Scene, rotation

Array = NDArray[np.float64]

#: Field of view at the detector in millimetres, before zoom.
FIELD = 350.0


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
    out = Scene(scene.batch, scene.lung_density, scene.flat)
    for name, center in scene.centers.items():
        turned = np.einsum("bij,bj->bi", turn, center)
        scale = magnify(turned[:, 2]) / middle
        axes = (turn @ scene.axes[name]) * scale[:, None, None]
        out.centers[name] = np.concatenate([turned[:, :2] * scale[:, None] + shift, turned[:, 2:]], axis=1)
        out.axes[name] = axes
    for part, chunks in scene.points.items():
        chunk = np.concatenate(chunks, axis=1)
        turned = np.einsum("bij,bnj->bni", turn, chunk[..., :3])
        scale = magnify(turned[..., 2]) / middle[:, None]
        moved = turned[..., :2] * scale[..., None] + shift[:, None]
        widths = chunk[..., 3:5] * scale[..., None]
        mass = chunk[..., 5:] * scale[..., None] ** 2
        out.points[part] = [np.concatenate([moved, turned[..., 2:], widths, mass], axis=-1)]
    return out
