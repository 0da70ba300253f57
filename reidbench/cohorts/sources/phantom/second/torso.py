"""What of version 1's body is drawn otherwise: the trunk and the shoulders, the heart's depth, how dense bones are.

All of it was set by a look at mean images of real train patients beside those of generated ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.scene import TRUNK, Scene

Array = NDArray[np.float64]

#: Lungs, and what is left of a collapsed one, are about as deep near their sides as in the middle: they end in an edge.
FLAT = TRUNK | {"lung_right", "lung_left", "rest_right", "rest_left"}
#: Factors on the depth of what lies between the lungs: little lung is in front of a real heart and behind it.
_DEEPER = {"ventricle": 1.35, "atrium": 1.3, "knob": 1.5, "trunk": 1.4}
#: Factors on the density of bones and of the windpipe.
_DENSITY = {"shoulders": 1.35, "spine": 0.6, "airways": 1.7}
#: What ribs lose of their density where they run towards the detector, at the side of the chest.
_SIDE = 0.7


def redraw(scene: Scene, a: dict[str, Array], v: dict[str, Array]) -> None:
    """Changes a scene of B bodies, before the pose.

    Args:
        scene: from :func:`reidbench.cohorts.sources.phantom.body.body`.
        a: anatomy.
        v: visit.
    """
    scene.flat = FLAT
    _trunk(scene, a, v)
    _middle(scene, a)
    _bones(scene, a, v)


def _trunk(scene: Scene, a: dict[str, Array], v: dict[str, Array]) -> None:
    """A trunk that narrows to the neck, and shoulders that slope to the sides of the picture."""
    scene.ellipsoid("torso", [0, 112, 0], [a["torso_width"], 275, a["torso_depth"]])
    lift = -v["shrug"]
    size = a["shoulder_size"]
    y = a["shoulder_height"] + lift
    for side, sign in (("right", -1.0), ("left", 1.0)):
        scene.ellipsoid(
            f"trapezius_{side}", [sign * 80, y - 10, -10], [size * 2.3, size * 0.8, 70], sign * (20 + 0.3 * v["arms"])
        )
        scene.ellipsoid(
            f"shoulder_{side}",
            [sign * (a["torso_width"] - 60), y + 42, -5],
            [size * 1.9, size * 1.5, size * 1.5],
            sign * (10 + v["arms"]),
        )
        # Some arms hang beside the chest, others are held away.
        out = np.where(v["ap"] > 0, 34, 58) + 1.6 * v["arms"]
        scene.ellipsoid(
            f"arm_{side}", [sign * (a["torso_width"] + out), 70 + lift, 0], [44, 200, 56], sign * (-6 - 0.7 * v["arms"])
        )


def _middle(scene: Scene, a: dict[str, Array]) -> None:
    """Heart and great vessels that reach deeper, and a mediastinum that reaches less deep and has soft edges."""
    scene.ellipsoid("mediastinum", [0, -10, -10], [a["mediastinum_width"] + 6, 200, 46], a["spine_bow"] * 0.15)
    for name, deep in _DEEPER.items():
        scene.centers[name][:, 2] *= 0.7
        scene.axes[name][:, :, 2] *= deep


def _bones(scene: Scene, a: dict[str, Array], v: dict[str, Array]) -> None:
    """Ribs that do not ring the chest, fainter vertebrae, a darker windpipe, and the heads and shafts of the arms."""
    for chunk in scene.points["ribs"]:
        turn = np.sin(np.linspace(0.0, 0.85 * np.pi, chunk.shape[1]))
        chunk[..., 5] *= 1.0 - _SIDE * turn**4
    for part, factor in _DENSITY.items():
        for chunk in scene.points[part]:
            chunk[..., 5] *= factor
    for sign in (-1.0, 1.0):
        x, y = sign * (a["torso_width"] - 32 + 0.5 * v["arms"]), a["shoulder_height"] + 30 - v["shrug"]
        head = np.stack([x, y, np.full_like(x, -10.0)], axis=-1)[:, None]
        shaft = head + np.stack([sign * np.linspace(4, 22, 6), np.linspace(14, 90, 6), np.zeros(6)], axis=-1)
        scene.cloud("shoulders", head, 15.0, 0.42 * 2 * np.pi * 15.0**2)
        scene.tube("shoulders", shaft, 8.0, 0.32)
