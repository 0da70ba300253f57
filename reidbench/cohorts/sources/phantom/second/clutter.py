"""What a visit lays over the picture: gas in the bowel, folds of skin and clothing, small things, markers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.scene import Scene, steps

Array = NDArray[np.float64]

#: Bubbles of gas under the diaphragm, folds, and small things, at most.
BUBBLES, FOLDS, THINGS = 5, 3, 4


def add(scene: Scene, a: dict[str, Array], v: dict[str, Array], detail: float) -> None:
    """Puts them into the scene of B bodies, before the pose.

    Args:
        scene: the bodies; its ``bubble`` is replaced.
        a: anatomy.
        v: visit.
        detail: size of a pixel in millimetres.
    """
    u = v["u"][:, 13:]
    _gas(scene, a, v, u[:, :15])
    _folds(scene, u[:, 15:33], detail)
    _things(scene, u[:, 33:45])


def _gas(scene: Scene, a: dict[str, Array], v: dict[str, Array], u: Array) -> None:
    """The stomach's bubble, flat, in half of the visits, and loops of bowel with gas on both sides."""
    size = 26 * np.clip(v["u"][:, 0] - 0.5, 0, None) / 0.5 + 1e-3
    top = a["dome_right"] + a["dome_drop_left"] + 11.0 * v["breath"]
    scene.ellipsoid(
        "bubble", [62 + 40 * (v["u"][:, 1] - 0.5), top + size + 9, 30], [size * 1.5, size * 0.9, 0.8 * size]
    )
    count = np.floor(u[:, :1] * (BUBBLES + 1))
    index = np.arange(BUBBLES)
    x = np.where(u[:, 1:6] < 0.7, 1.0, -1.0) * (22 + 95 * u[:, 6:11])
    drop = a["dome_right"] + 11.0 * v["breath"]
    y = drop[:, None] + 22 + 75 * u[:, 1:6]
    sigma = 6 + 11 * u[:, 10:15]
    depth = -(0.25 + 0.5 * u[:, 6:11]) * (index < count)
    xyz = np.stack([x, y, np.full_like(x, 25.0)], axis=-1)
    scene.cloud("gas", xyz, 1.3 * sigma, depth * 2 * np.pi * 1.1 * sigma**2, 0.85 * sigma)


def _folds(scene: Scene, u: Array, detail: float) -> None:
    """Curved lines of skin or cloth, a little denser on one side."""
    t = np.linspace(-1, 1, steps(220.0, 3.0, detail))
    for fold in range(FOLDS):
        mine = u[:, 6 * fold : 6 * fold + 6]
        shown = (mine[:, 0] < 0.22).astype(float)
        angle = np.pi * mine[:, 1]
        bend = 60 * (mine[:, 2] - 0.5)
        middle = np.stack([260 * (mine[:, 3] - 0.5), 260 * (mine[:, 4] - 0.5)], axis=-1)
        along = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        across = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
        line = (
            middle[:, None]
            + 110 * t[None, :, None] * along[:, None]
            + (bend[:, None] * (t**2 - 0.5))[..., None] * across[:, None]
        )
        path = np.concatenate([line, np.full((*line.shape[:2], 1), -105.0)], axis=-1)
        width = 2.0 + 6.0 * mine[:, 5]
        scene.tube("folds", path, width[:, None], (0.16 * shown)[:, None])


def _things(scene: Scene, u: Array) -> None:
    """Buttons, snaps and ends of lines: dense, small, anywhere."""
    x, y = 320 * (u[:, :THINGS] - 0.5), 320 * (u[:, THINGS : 2 * THINGS] - 0.5)
    shown = u[:, 2 * THINGS : 3 * THINGS] < 0.18
    xyz = np.stack([x, y, np.full_like(x, 105.0)], axis=-1)
    scene.cloud("things", xyz, 2.6, 1.1 * shown * 2 * np.pi * 2.6**2)


def markers(scene: Scene, field: Array, u: Array) -> None:
    """Lines of text near the edges of a posed scene: dense strokes, up to three blocks.

    Args:
        scene: B bodies, posed.
        field: (B,) width of the picture in millimetres.
        u: (B, 9) uniform numbers.
    """
    strokes = np.linspace(0, 1, 5)
    for block in range(3):
        mine = u[:, 3 * block : 3 * block + 3]
        shown = (mine[:, 0] < (0.45, 0.3, 0.15)[block]).astype(float)
        side = np.where((mine[:, 0] * 1e3) % 1 < 0.5, -1.0, 1.0)
        x = side * field * (0.30 + 0.17 * mine[:, 1])
        y = field * np.where(mine[:, 2] < 0.75, -0.47 + 0.14 * mine[:, 2], 0.4 + 0.08 * (mine[:, 2] - 0.75) / 0.25)
        long = field * (0.02 + 0.07 * ((mine[:, 1] * 1e3) % 1))
        xyz = np.stack([x[:, None] + long[:, None] * strokes, np.repeat(y[:, None], 5, 1), np.zeros((len(x), 5))], -1)
        scene.cloud("letter", xyz, 2.2, 1.3 * shown[:, None] * 2 * np.pi * 2.2 * 2.6, 2.6)
