"""The two kinds of thing that a body is built of, for a batch of bodies, before and after the pose."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def rotation(angle: Array, axis: int) -> Array:
    """(B, 3, 3) rotations by ``angle`` degrees, (B,), about axis 0, 1 or 2."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.zeros((*np.shape(angle), 3, 3))
    i, j = [k for k in range(3) if k != axis]
    matrix[..., axis, axis] = 1.0
    matrix[..., i, i] = c
    matrix[..., j, j] = c
    matrix[..., i, j] = -s
    matrix[..., j, i] = s
    return matrix


#: Variance of the detector's aperture in squared pixels: a pixel's area (a twelfth) and the light that spreads from it.
APERTURE = 1.0 / 9.0


#: What is flat in version 1: a trunk is flatter than an ellipsoid.
TRUNK = frozenset({"torso"})


def steps(length: float, sigma: float, detail: float) -> int:
    """How many points make a tube of about that length look smooth where a pixel measures ``detail`` millimetres.

    Points 1.8 standard deviations apart ripple by half a percent. The count must not depend on the patient, or one
    patient's image would depend on who else is in the batch.
    """
    return max(4, math.ceil(length / (1.8 * math.sqrt(sigma**2 + APERTURE * detail**2))) + 1)


@dataclass
class Scene:
    """Ellipsoids with sharp surfaces, and soft points of Gaussian density, in millimetres.

    x points to the image's right (the patient's left), y down, z to the front; the origin is the middle of the chest.

    Attributes:
        batch: how many bodies, B.
        lung_density: (B,) attenuation of the lungs as a share of soft tissue's.
        centers, axes: by ellipsoid name, (B, 3) and (B, 3, 3); the columns of ``axes`` are the semi-axes.
        flat: names of ellipsoids whose chords are flatter than an ellipsoid's: as deep beside the middle as in it.
        points: by part of the body, chunks of (B, n, 6): x, y, z, horizontal and vertical standard deviation, and mass,
            which is the integral of the attenuation over the point's projected footprint in square millimetres.
    """

    batch: int
    lung_density: Array
    flat: frozenset[str] = TRUNK
    centers: dict[str, Array] = field(default_factory=dict)
    axes: dict[str, Array] = field(default_factory=dict)
    points: dict[str, list[Array]] = field(default_factory=dict)

    def ellipsoid(self, name: str, center: list[ArrayLike], semi: list[ArrayLike], angle: ArrayLike = 0.0) -> None:
        """Adds an ellipsoid a body; ``angle`` turns it in the image plane (degrees, positive turns right side down)."""
        self.centers[name] = np.stack([np.broadcast_to(np.asarray(c, float), self.batch) for c in center], axis=-1)
        lengths = np.stack([np.broadcast_to(np.asarray(s, float), self.batch) for s in semi], axis=-1)
        turn = rotation(np.broadcast_to(np.asarray(angle, float), self.batch), 2)
        self.axes[name] = turn * lengths[:, None, :]

    def cloud(self, part: str, xyz: Array, sigma: ArrayLike, mass: ArrayLike, sigma_y: ArrayLike | None = None) -> None:
        """Adds soft points, (B, n, 3); ``sigma``, ``mass``, ``sigma_y`` broadcast to (B, n)."""
        shape = xyz.shape[:2]
        rest = [
            np.broadcast_to(np.asarray(v, float), shape) for v in (sigma, sigma if sigma_y is None else sigma_y, mass)
        ]
        self.points.setdefault(part, []).append(np.concatenate([xyz, np.stack(rest, axis=-1)], axis=-1))

    def tube(self, part: str, path: Array, sigma: ArrayLike, depth: ArrayLike) -> None:
        """Adds a soft tube along ``path``, (B, n, 3).

        ``depth`` is the attenuation of a ray through the axis of a tube that lies flat, broadcast to (B, n); where the
        tube runs towards the detector its points pile up and it is denser, as it should be.
        """
        step = np.linalg.norm(np.diff(path, axis=1), axis=-1)
        length = np.zeros(path.shape[:2])
        length[:, :-1] += step / 2
        length[:, 1:] += step / 2
        width = np.broadcast_to(np.asarray(sigma, float), path.shape[:2])
        self.cloud(part, path, width, np.asarray(depth, float) * np.sqrt(2 * np.pi) * width * length)

    def all_points(self) -> Array:
        """(B, n, 6): the points of all parts."""
        return np.concatenate([chunk for chunks in self.points.values() for chunk in chunks], axis=1)

    def without(self, names: Collection[str]) -> Scene:
        """The scene less the ellipsoids and the parts of these names."""
        return Scene(
            self.batch,
            self.lung_density,
            self.flat,
            {name: value for name, value in self.centers.items() if name not in names},
            {name: value for name, value in self.axes.items() if name not in names},
            {part: chunks for part, chunks in self.points.items() if part not in names},
        )
