"""Foreign material: implants that stay with the patient, and what a visit brings; and the letter at the film's edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.scene import Scene, steps

Array = NDArray[np.float64]

IMPLANTS = ("pacemaker", "sternal_wires", "clips")
BROUGHT = ("electrodes", "line", "tube")
KINDS = IMPLANTS + BROUGHT
#: Share of patients who get each implant, at the first image or in the years after it.
_IMPLANTED = {"pacemaker": 0.05, "sternal_wires": 0.06, "clips": 0.05}
#: Share of PA and of AP images with what a visit brings.
_BROUGHT = {"electrodes": (0.04, 0.42), "line": (0.04, 0.30), "tube": (0.01, 0.18)}
#: Numbers that place the things: the patient's, then the visit's.
_OWN, _NOW = 12, 40

# Strokes of the letter L, in letter heights.
_LETTER = np.array([(0.0, t) for t in np.linspace(0, 1, 7)] + [(t, 1.0) for t in np.linspace(0.15, 0.55, 4)])


def worn(seed: int, patient_id: object, image_id: object, ap: bool, days: float) -> NDArray[np.bool_]:
    """Which of KINDS is in the image: implants from their day on, the rest by the view."""
    rng = generator(seed, "implants", patient_id)
    got = rng.random(len(IMPLANTS)) < [_IMPLANTED[name] for name in IMPLANTS]
    since = np.where(rng.random(len(IMPLANTS)) < 0.6, 0.0, rng.uniform(0, 2000, len(IMPLANTS)))
    brought = generator(seed, "brought", image_id).random(len(BROUGHT)) < [_BROUGHT[name][int(ap)] for name in BROUGHT]
    return np.concatenate([got & (days >= since), brought])


def draw(seed: int, patient_id: object, image_id: object) -> Array:
    """Standard normal numbers that place the things: 12 of the patient's own, then 40 of the visit's."""
    own = generator(seed, "implant places", patient_id).standard_normal(_OWN)
    return np.clip(np.concatenate([own, generator(seed, "brought places", image_id).standard_normal(_NOW)]), -2.2, 2.2)


def add(scene: Scene, a: dict[str, Array], present: NDArray[np.bool_], draws: Array, detail: float) -> None:
    """Puts the things of ``present``, (B, len(KINDS)), into the scene; metal is dense and sharp."""
    on = dict(zip(KINDS, present.astype(float).T[..., None]))  # (B, 1) each
    own, now = draws[:, :_OWN], draws[:, _OWN:]
    _pacemaker(scene, a, on["pacemaker"], own, detail)
    _wires(scene, a, on["sternal_wires"], own)
    _clips(scene, a, on["clips"], own)
    _electrodes(scene, a, on["electrodes"], now, detail)
    _line(scene, a, on["line"], now, detail)
    _tube(scene, a, on["tube"], now, detail)


def _curve(points: list[tuple[Array | float, Array | float, float]], batch: int, steps: int) -> Array:
    """A smooth path, (B, steps, 3), through control points of a Bézier curve."""
    t = np.linspace(0, 1, steps)
    control = np.stack([np.stack([np.broadcast_to(np.asarray(c, float), batch) for c in p], -1) for p in points], 1)
    while control.shape[1] > 1:
        if control.ndim == 3:
            control = np.repeat(control[..., None, :], steps, axis=2)
        control = control[:, :-1] * (1 - t)[:, None] + control[:, 1:] * t[:, None]
    return control[:, 0]


def _pacemaker(scene: Scene, a: dict[str, Array], on: Array, own: Array, detail: float) -> None:
    x, y = 92 + 7 * own[:, 0], -92 + 8 * own[:, 1]
    grid = np.stack(np.meshgrid(np.linspace(-15, 15, 5), np.linspace(-12, 12, 4)), -1).reshape(-1, 2)
    case = np.stack([x[:, None] + grid[:, 0], y[:, None] + grid[:, 1], np.full((len(x), len(grid)), 85.0)], -1)
    scene.cloud("foreign", case, 4.5, 1.1 * on * 7.5 * 8)
    lead = _curve(
        [(x - 12, y, 85), (40, y - 26, 60), (-30, -90 + 5 * own[:, 2], 20), (-28, 20, 10), (a["heart_x"] + 18, 74, 30)],
        scene.batch,
        steps(330.0, 1.1, detail),
    )
    scene.tube("foreign", lead, 1.1, 0.7 * on)


def _wires(scene: Scene, a: dict[str, Array], on: Array, own: Array) -> None:
    turn = np.linspace(0, 2 * np.pi, 9)
    for wire in range(6):
        y = -72 + 23 * wire + 3 * own[:, wire]
        x = 2.5 * own[:, 11 - wire]
        loop = np.stack(
            [x[:, None] + 6.5 * np.cos(turn), y[:, None] + 4.0 * np.sin(turn), np.full((len(x), 9), 84.0)], -1
        )
        scene.tube("foreign", loop, 0.8, 0.8 * on)


def _clips(scene: Scene, a: dict[str, Array], on: Array, own: Array) -> None:
    side = np.where(own[:, 8] > 0, 1.0, -1.0)
    x = (side * (52 + 10 * own[:, 9]))[:, None] + 9 * own[:, :6]
    y = (-30 + 26 * own[:, 10])[:, None] + 12 * own[:, 2:8]
    scene.cloud("foreign", np.stack([x, y, np.full_like(x, 20.0)], -1), 1.1, 1.0 * on * 14, 2.4)


def _electrodes(scene: Scene, a: dict[str, Array], on: Array, now: Array, detail: float) -> None:
    places = [(-88, -84), (88, -84), (-92, 66), (92, 70)]
    for index, (x, y) in enumerate(places):
        center = (x + 13 * now[:, 2 * index], y + 13 * now[:, 2 * index + 1], 100.0)
        disc = np.stack([center[0], center[1], np.full(scene.batch, 100.0)], -1)[:, None]
        scene.cloud("foreign", disc, 3.2, 0.9 * on * 2 * np.pi * 3.2**2)
        middle = (0.4 * x + 24 * now[:, 8 + index], 0.5 * y + 30 + 20 * now[:, 12 + index], 105.0)
        wire = _curve(
            [center, middle, (30 * now[:, 16] + 0.2 * x, 190.0, 105.0)], scene.batch, steps(280.0, 0.9, detail)
        )
        scene.tube("foreign", wire, 0.9, 0.42 * on)


def _line(scene: Scene, a: dict[str, Array], on: Array, now: Array, detail: float) -> None:
    """A central venous line from the right neck into the cava."""
    x = a["cava_x"]
    path = _curve(
        [
            (-62 + 9 * now[:, 20], -190.0, 30),
            (-66 + 9 * now[:, 21], -120, 30),
            (x, -112, 20),
            (x + 3 * now[:, 22], -14 + 14 * now[:, 23], 8),
        ],
        scene.batch,
        steps(190.0, 1.1, detail),
    )
    scene.tube("foreign", path, 1.1, 0.5 * on)


def _tube(scene: Scene, a: dict[str, Array], on: Array, now: Array, detail: float) -> None:
    """A stomach tube down the oesophagus, under the left dome."""
    x = a["aorta_x"] * 0.2
    path = _curve(
        [
            (2 * now[:, 24], -230, -20),
            (x, -60, -30),
            (x - 4, 60, -30),
            (x + 8, 110, -10),
            (58 + 12 * now[:, 25], 128 + 9 * now[:, 26], 10),
        ],
        scene.batch,
        steps(400.0, 1.4, detail),
    )
    scene.tube("foreign", path, 1.4, 0.55 * on)


def letter(scene: Scene, field: Array, u: Array) -> None:
    """Writes the side marker onto a posed scene: an L in one of two corners on most films, larger or smaller.

    Args:
        field: (B,) width of the picture in millimetres.
        u: (B, 12) the visit's uniform numbers.
    """
    high = 10 + 6 * u[:, 7]
    x = np.where(u[:, 8] < 0.8, 1.0, -1.0) * field * (0.40 + 0.05 * u[:, 9])
    y = -field * (0.40 + 0.05 * u[:, 10])
    xy = np.stack([x, y], -1)[:, None] + _LETTER * high[:, None, None]
    shown = (u[:, 11] < 0.7).astype(float)[:, None]
    scene.cloud("letter", np.concatenate([xy, 0 * xy[..., :1]], -1), 1.2, 0.5 * shown * np.pi * 2 * 1.2 * 1.6)
