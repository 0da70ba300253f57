"""Texture of lungs and soft tissue: grains that belong to the patient and move with the body, and haze of a visit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.scene import Scene

Array = NDArray[np.float64]

#: Grains of a patient: so many in each lung, the rest in the trunk.
IN_LUNG, IN_TRUNK = 70, 60
GRAINS = 2 * IN_LUNG + IN_TRUNK
#: Attenuation on a ray through the middle of a grain of the lung and of the trunk, standard deviation.
LUNG_DEPTH, TRUNK_DEPTH = 0.05, 0.08
#: Clouds of haze in each lung, and what a standard deviation of one adds on a ray through its middle.
CLOUDS, HAZE = 3, 0.14
#: How much of a grain's density is the patient's own in a usual visit; the rest is the visit's: filling of vessels,
#: infection, posture.
STAYS = 0.5


def add(scene: Scene, grains: Array, now: Array, strength: Array, clouds: Array, thick: Array) -> None:
    """Puts the grains into the scene, which must hold the lungs.

    Args:
        grains: (B, GRAINS, 5): place in (-1, 1) along three axes, size and density as standard normal numbers.
        now: (B, GRAINS) the visit's normal numbers, of a deviation of 1 in a usual visit.
        strength: (B,) factor of the lungs' grains.
        clouds: (B, 2 * CLOUDS, 4) the visit's standard normal numbers: places, size and density of haze.
        thick: (B,) factor of its density.
    """
    density = np.sqrt(STAYS) * grains[..., 4] + np.sqrt(1.0 - STAYS) * now
    for index, side in enumerate(("right", "left")):
        part = slice(index * IN_LUNG, (index + 1) * IN_LUNG)
        mine = grains[:, part]
        center, axes = scene.centers[f"lung_{side}"], scene.axes[f"lung_{side}"]
        # The visible lung is the upper part of its ellipsoid; in the ball, so that no grain lies in the wall.
        local = mine[..., :3] * (0.75, 0.5, 0.55)
        local[..., 1] -= 0.38
        narrow = np.sqrt(np.clip(1.0 - local[..., 1] ** 2, 0.1, 1.0))
        local[..., 0] *= narrow
        # Fine ones are many and faint, coarse ones few: powers that fall with the frequency, as in real lungs.
        sigma = np.clip(6.0 * np.exp(0.45 * mine[..., 3]), 2.4, 18.0)
        depth = LUNG_DEPTH * strength[:, None] * density[:, part] * (sigma / 6.0) ** 0.5
        scene.cloud("texture", center[:, None] + local @ axes.transpose(0, 2, 1), sigma, depth * 2 * np.pi * sigma**2)
        _haze(scene, side, clouds[:, index * CLOUDS : (index + 1) * CLOUDS], thick)
    mine = grains[:, 2 * IN_LUNG :]
    places = mine[..., :3] * (165.0, 200.0, 70.0)
    sigma = np.clip(16.0 * np.exp(0.5 * mine[..., 3]), 5.0, 45.0)
    scene.cloud("texture", places, sigma, TRUNK_DEPTH * density[:, 2 * IN_LUNG :] * 2 * np.pi * sigma**2, 1.3 * sigma)


def _haze(scene: Scene, side: str, clouds: Array, thick: Array) -> None:
    """Wide clouds of the visit in one lung: less air at the bedside, secretions, posture. They are no finding."""
    center, axes = scene.centers[f"lung_{side}"], scene.axes[f"lung_{side}"]
    local = np.clip(clouds[..., :2], -2, 2) * (0.28, 0.24)
    local[..., 1] -= 0.3
    places = np.concatenate([local, np.zeros_like(local[..., :1])], axis=-1) @ axes.transpose(0, 2, 1)
    sigma = 26.0 * np.exp(0.3 * np.clip(clouds[..., 2], -2, 2))
    depth = HAZE * thick[:, None] * np.clip(clouds[..., 3], -0.3, 2.5)
    scene.cloud("texture", center[:, None] + places, sigma, depth * 2 * np.pi * sigma**2)
