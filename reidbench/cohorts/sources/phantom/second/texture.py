"""Texture of the lungs and of soft tissue: grains of many sizes that belong to the patient and move with the body."""

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


#: How much of a grain's density is the patient's own; the rest is the visit's: filling of vessels, infection, posture.
STAYS = 0.85


def add(scene: Scene, grains: Array, now: Array, strength: Array) -> None:
    """Puts the grains into the scene, which must hold the lungs.

    Args:
        grains: (B, GRAINS, 5): place in (-1, 1) along three axes, size and density as standard normal numbers.
        now: (B, GRAINS) the visit's standard normal numbers.
        strength: (B,) factor of the lungs' grains.
    """
    density = np.sqrt(STAYS) * grains[..., 4] + np.sqrt(1.0 - STAYS) * now
    for index, side in enumerate(("right", "left")):
        part = slice(index * IN_LUNG, (index + 1) * IN_LUNG)
        mine = grains[:, part]
        center, semi = scene.centers[f"lung_{side}"], np.linalg.norm(scene.axes[f"lung_{side}"], axis=1)
        # The visible lung is the upper part of its ellipsoid; in the ball, so that no grain lies in the wall.
        local = mine[..., :3] * (0.75, 0.5, 0.55)
        local[..., 1] -= 0.38
        narrow = np.sqrt(np.clip(1.0 - local[..., 1] ** 2, 0.1, 1.0))
        local[..., 0] *= narrow
        # Fine ones are many and faint, coarse ones few: powers that fall with the frequency, as in real lungs.
        sigma = np.clip(6.0 * np.exp(0.45 * mine[..., 3]), 2.4, 18.0)
        depth = LUNG_DEPTH * strength[:, None] * density[:, part] * (sigma / 6.0) ** 0.5
        scene.cloud("texture", center[:, None] + local * semi[:, None], sigma, depth * 2 * np.pi * sigma**2)
    mine = grains[:, 2 * IN_LUNG :]
    places = mine[..., :3] * (165.0, 200.0, 70.0)
    sigma = np.clip(16.0 * np.exp(0.5 * mine[..., 3]), 5.0, 45.0)
    scene.cloud("texture", places, sigma, TRUNK_DEPTH * density[:, 2 * IN_LUNG :] * 2 * np.pi * sigma**2, 1.3 * sigma)
