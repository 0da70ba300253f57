"""Builds bodies from anatomy and visit: bones, lungs, heart, vessels, soft tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom.anatomy import BRANCHES, RIBS, VERTEBRAE
from reidbench.cohorts.sources.phantom.findings import Disease
from reidbench.cohorts.sources.phantom.scene import Scene, steps

Array = NDArray[np.float64]
Values = dict[str, Array]

SIDES = (("right", -1.0), ("left", 1.0))
#: Width and depth of the rib cage at each rib, as a share of its largest; how far each rib runs to the front (degrees).
_RIB_WIDTH = np.array([0.50, 0.68, 0.80, 0.88, 0.94, 0.98, 1.00, 1.01, 1.01, 0.99, 0.93, 0.84])
_RIB_DEPTH = np.array([0.50, 0.68, 0.82, 0.91, 0.97, 1.00, 1.00, 1.00, 1.00, 0.98, 0.94, 0.88])
_RIB_END = np.array([150, 152, 154, 154, 152, 150, 146, 138, 128, 114, 82, 55])
_RIB_DROP = np.array([0.55, 0.72, 0.85, 0.95, 1.0, 1.05, 1.1, 1.1, 1.05, 1.0, 0.8, 0.6])

#: Standard deviation in millimetres of the vessels of each generation, from the hilum outwards.
_CALIBRE = (3.4, 2.3, 1.6)


def col(values: Array) -> Array:
    """(B,) as (B, 1), to meet (B, n)."""
    return values[:, None]


def body(a: Values, v: Values, disease: Disease, detail: float) -> Scene:
    """The scene of B bodies.

    Args:
        a: anatomy, from :func:`reidbench.cohorts.sources.phantom.anatomy.anatomy`, as the findings change it.
        v: visit, from :func:`reidbench.cohorts.sources.phantom.visit.visit`.
        disease: the visit's findings.
        detail: size of a pixel in millimetres; finer pixels take more points along a bone.
    """
    scene = Scene(len(v["yaw"]), a["lung_density"])
    _soft_tissue(scene, a, v)
    _lungs(scene, a, v)
    disease.add(scene, a)
    _heart(scene, a, v)
    _airways(scene, a)
    _spine(scene, a)
    for side, sign in SIDES:
        _ribs(scene, a, v, side, sign, detail)
        _shoulder(scene, a, v, side, sign, detail)
        _vessels(scene, a, v, disease, side, sign, detail)
    return scene


def spine_x(a: Values, y: Array) -> Array:
    """Where the spine runs at height ``y``, (B, n): a scoliotic bow."""
    return col(a["spine_bow"]) * np.cos((y - col(a["spine_bow_level"])) / 75.0)


def _soft_tissue(scene: Scene, a: Values, v: Values) -> None:
    lift = -v["shrug"]
    scene.ellipsoid("torso", [0, 80, 0], [a["torso_width"], 300, a["torso_depth"]])
    scene.ellipsoid("neck", [a["neck_lean"], -240, -10], [a["neck_width"], 160, 58])
    for side, sign in SIDES:
        size = a["shoulder_size"]
        y = a["shoulder_height"] + lift
        scene.ellipsoid(f"trapezius_{side}", [sign * 78, y - 8, -14], [size * 2.0, size * 1.1, 60], sign * 27)
        scene.ellipsoid(
            f"shoulder_{side}",
            [sign * (a["torso_width"] - 26), y + 42, -5],
            [size * 1.4, size * 1.25, size],
            sign * (30 + v["arms"] * 0.5),
        )
        # Arms hang at the bedside and are turned out of the picture when standing.
        out = np.where(v["ap"] > 0, 26, 62) + 1.2 * v["arms"]
        scene.ellipsoid(
            f"arm_{side}", [sign * (a["torso_width"] + out), 60 + lift, 0], [40, 190, 42], sign * (-5 - 0.4 * v["arms"])
        )
        scene.ellipsoid(
            f"breast_{side}",
            [sign * a["breast_x"], a["breast_y"], a["torso_depth"]],
            [a["breast_size"] * 1.08, a["breast_size"], a["breast_depth"]],
        )


def _lungs(scene: Scene, a: Values, v: Values) -> None:
    drop = 11.0 * v["breath"]
    swell = 1.0 + 0.02 * v["breath"]
    for side, sign in SIDES:
        width = a[f"lung_width_{side}"] * swell
        x = sign * (a["lung_gap"] + width)
        height = a["lung_height"]
        lean = sign * -a[f"lung_lean_{side}"]
        scene.ellipsoid(f"lung_{side}", [x, a["lung_top"] + height, -4], [width, height, a["lung_depth"] * swell], lean)
        top = a["dome_right"] + (a["dome_drop_left"] if side == "left" else 0.0) + drop - a[f"dome_raise_{side}"]
        scene.ellipsoid(
            f"dome_{side}",
            [sign * a[f"dome_x_{side}"], top + a["dome_height"], 8],
            [a["dome_width"], a["dome_height"], a["lung_depth"] * 1.12],
            sign * 6,
        )
    # Swallowed air under the left dome: a matter of the visit.
    size = 10 + 22 * v["u"][:, 0]
    top = a["dome_right"] + a["dome_drop_left"] + drop
    scene.ellipsoid("bubble", [62 + 24 * (v["u"][:, 1] - 0.5), top + size + 7, 20], [size * 1.4, size, size])


def _heart(scene: Scene, a: Values, v: Values) -> None:
    beat = np.exp(v["heartbeat"]) * (1.0 - 0.025 * v["breath"])
    sink = 5.0 * v["breath"]
    scene.ellipsoid(
        "ventricle",
        [a["heart_x"], a["heart_y"] + sink, 24],
        [a["heart_long"] * beat, a["heart_short"] * beat, a["heart_short"] * 1.05 * beat],
        a["heart_angle"] - 4.0 * v["breath"],
    )
    size = a["atrium_size"] * beat
    scene.ellipsoid("atrium", [a["atrium_x"], a["atrium_y"] + sink, 12], [size * 0.9, size * 1.25, size])
    knob = a["knob_size"]
    scene.ellipsoid("knob", [a["knob_x"], a["knob_y"], -8], [knob, knob * 1.1, knob * 1.1])
    trunk = a["trunk_size"] * beat
    scene.ellipsoid("trunk", [a["trunk_x"], -18 + 0.5 * sink, 14], [trunk, trunk * 1.5, trunk * 1.4], -12)
    scene.ellipsoid("aorta", [a["aorta_x"], 20, -46], [a["aorta_width"], 110, a["aorta_width"]], a["aorta_bow"] * 0.6)
    scene.ellipsoid("mediastinum", [0, -10, -10], [a["mediastinum_width"], 200, 60], a["spine_bow"] * 0.15)
    scene.ellipsoid("cava", [a["cava_x"], -72, 8], [a["cava_width"], 62, 12])


def _airways(scene: Scene, a: Values) -> None:
    t = np.linspace(0, 1, 14)
    y = -215 + t * (col(a["carina_y"]) + 215)
    x = col(a["trachea_x"]) * t - 4 * np.sin(np.pi * t) * (col(a["knob_size"]) / 16)
    trachea = np.stack([x, y, np.full_like(y, -12)], axis=-1)
    scene.tube("airways", trachea, col(a["trachea_width"]) * 0.62, -0.34 * col(a["trachea_width"]) / 8)
    for sign, reach in ((-1.0, 34.0), (1.0, 44.0)):
        t = np.linspace(0, 1, 6)
        angle = np.radians(col(a["carina_angle"]) + (6 if sign > 0 else -4))
        bronchus = np.stack(
            [
                col(a["trachea_x"]) + sign * reach * t * np.sin(angle),
                col(a["carina_y"]) + reach * t * np.cos(angle),
                np.full((scene.batch, 6), -14.0),
            ],
            axis=-1,
        )
        scene.tube("airways", bronchus, col(a["trachea_width"]) * 0.45, -0.22)


def _spine(scene: Scene, a: Values) -> None:
    level = np.arange(VERTEBRAE)
    height = a["rib_spacing"] + 0.6
    y = col(a["rib_first"]) - 12 + col(height) * level + a["vertebra_shift"]
    center = np.stack([spine_x(a, y), y, np.full_like(y, -62)], axis=-1)
    width = col(a["vertebra_width"]) * (0.78 + 0.03 * level)
    density = col(a["vertebra_density"]) * (1.0 + 0.02 * level)
    area = 4 * width * col(height)
    # Body, then its two end plates, its pedicles and its spinous process.
    scene.cloud("spine", center, width * 0.62, 0.20 * density * area, col(height) * 0.34)
    for side in (-1, 1):
        plate = center + np.stack([0 * y, side * 0.38 * np.broadcast_to(col(height), y.shape), 0 * y], axis=-1)
        scene.cloud("spine", plate, width * 0.5, 0.17 * density * width * 1.9, 1.3)
        pedicle = center + np.stack([side * 0.62 * width, -3 + 0 * y, -22 + 0 * y], axis=-1)
        scene.cloud("spine", pedicle, 2.6, 0.10 * density * 40, 3.4)
        process = center + np.stack([side * (width + 9), -6 + 0 * y, -26 + 0 * y], axis=-1)
        scene.cloud("spine", process, 6.0, 0.055 * density * 110, 2.8)
    spinous = center + np.stack([0.12 * col(a["spine_twist"]) + 0 * y, 8 + 0 * y, -42 + 0 * y], axis=-1)
    scene.cloud("spine", spinous, 2.0, 0.10 * density * 40, 5.0)


def _ribs(scene: Scene, a: Values, v: Values, side: str, sign: float, detail: float) -> None:
    # Upper and lower edge are drawn apart only where pixels are fine enough to show them apart.
    fine = detail < 4.0
    t = np.linspace(0, 1, steps(330.0, 1.5 if fine else 4.2, detail))
    phi = np.radians(4 + (_RIB_END[:, None] - 4) * t)  # (12, n)
    wall = a["lung_gap"] + 2 * a[f"lung_width_{side}"] * (1 + 0.02 * v["breath"]) + a["rib_margin"]
    width = wall[:, None, None] * _RIB_WIDTH[:, None]
    depth = (a["lung_depth"] + 8)[:, None, None] * _RIB_DEPTH[:, None]
    start = col(a["rib_first"]) + col(a["rib_spacing"]) * np.arange(RIBS) + a[f"rib_shift_{side}"]
    # A deep breath lifts the front ends.
    drop = (col(a["rib_drop"]) - 6 * col(v["breath"])) * _RIB_DROP + a["rib_tilt"]
    x = 17 + (width - 17) * np.sin(phi) ** 0.9
    y = (
        start[..., None]
        - col(a["rib_arch"])[..., None] * np.sin(2 * phi).clip(0)
        + drop[..., None] * (1 - np.cos(phi)) / 2
    )
    z = -depth * np.cos(phi) - 6
    shape = (scene.batch, RIBS, len(t))
    x = sign * np.broadcast_to(x, shape) + spine_x(a, start)[..., None] * np.exp(-((phi / 0.6) ** 2))
    path = np.stack([x, np.broadcast_to(y, shape), np.broadcast_to(z, shape)], axis=-1)
    thick = a["rib_thickness"]
    density = a["rib_density"][:, None] * (1.12 - 0.36 * t)
    for rib in range(RIBS):
        line = path[:, rib]
        if not fine:
            scene.tube("ribs", line, col(thick) * 0.95, 0.21 * density)
            continue
        edge = np.stack([0 * thick, thick * 0.95, 0 * thick], axis=-1)[:, None, :]
        scene.tube("ribs", line - edge, 1.5, 0.13 * density)
        scene.tube("ribs", line + edge, 1.5, 0.17 * density)
        scene.tube("ribs", line, col(thick) * 0.7, 0.13 * density)


def _shoulder(scene: Scene, a: Values, v: Values, side: str, sign: float, detail: float) -> None:
    t = np.linspace(0, 1, steps(140.0, 1.5 if detail < 4.0 else 4.8, detail))
    rise = col(a[f"clavicle_rise_{side}"] + v["shrug"])
    x = sign * (14 + col(a["clavicle_length"]) * t)
    y = col(a["clavicle_y"]) - rise * t - col(a["clavicle_curve"]) * np.sin(2 * np.pi * t)
    z = 62 - 55 * t + np.zeros_like(y)
    thick = col(a["clavicle_thickness"])
    line = np.stack([x, y, z], axis=-1)
    if detail < 4.0:
        edge = np.stack([0 * thick, thick * 0.95, 0 * thick], axis=-1)
        scene.tube("shoulders", line - edge, 1.5, 0.18)
        scene.tube("shoulders", line + edge, 1.5, 0.18)
        scene.tube("shoulders", line, thick * 0.75, 0.22)
    else:
        scene.tube("shoulders", line, thick * 1.05, 0.36)
    # The shoulder blade: three borders and a thin sheet. Standing with rolled shoulders it leaves the lung.
    size = a["scapula_size"]
    out = np.where(v["ap"] > 0, -14.0, 12.0) + v["arms"]
    corner_x = sign * (a["scapula_x"] + out)
    angle = np.radians(a["scapula_angle"] + v["arms"])
    top = np.stack([corner_x - sign * 12, a["scapula_y"] - size * 0.55 - v["shrug"], np.full_like(size, -70)], axis=-1)
    tip = top + np.stack([sign * size * 1.5 * np.sin(angle), size * 1.5 * np.cos(angle), 0 * size - 6], axis=-1)
    joint = top + np.stack([sign * size * 0.85, size * 0.12, 0 * size + 30], axis=-1)
    t = np.linspace(0, 1, steps(105.0, 2.4, detail))[None, :, None]
    for start, end, depth in ((top, tip, 0.14), (tip, joint, 0.20), (top, joint, 0.20)):
        scene.tube("shoulders", start[:, None] + (end - start)[:, None] * t, 2.4, depth)
    middle = (top + tip + joint) / 3
    scene.cloud("shoulders", middle[:, None], col(size) * 0.28, 0.10 * col(size) ** 2 * 0.8, col(size) * 0.36)


def _vessels(scene: Scene, a: Values, v: Values, disease: Disease, side: str, sign: float, detail: float) -> None:
    """Five stems from the hilum, each dividing twice; what would leave the lung is left out."""
    first, column = (0 if side == "right" else BRANCHES), 0
    turn = a[f"branch_turn_{side}"]
    depth_turn = a["branch_depth"][:, first : first + BRANCHES]
    calibre = np.exp(a["branch_calibre"][:, first : first + BRANCHES]) * col(
        a["vessel_calibre"] * (1 + 0.12 * v["fluid"])
    )
    swell = 1.0 + 0.02 * v["breath"]
    root = np.stack([sign * a["hilum_x"], a[f"hilum_y_{side}"] + 3 * v["breath"], np.full(scene.batch, -6.0)], axis=-1)
    scene.cloud(
        "vessels",
        root[:, None],
        col(a["hilum_size"]),
        0.30 * 2 * np.pi * col(a["hilum_size"]) ** 2,
        1.5 * col(a["hilum_size"]),
    )
    collapsed = col(disease.on_side("Pneumothorax", sign)) > 0

    def inside(path: Array) -> Array:
        whole, rest = (_inside(scene, f"{name}_{side}", path) for name in ("lung", "rest"))
        return np.where(collapsed, np.minimum(whole, rest), whole)

    reach = 36.0 * a["vessel_reach"] * swell
    # Angles from straight down; the stems fan out from the apex to the base.
    front: list[tuple[Array, Array, float]] = [
        (root, np.full(scene.batch, angle), 1.0) for angle in np.radians([158.0, 122.0, 82.0, 46.0, 14.0])
    ]
    for generation in range(3):
        t = np.linspace(0, 1, steps(36.0, _CALIBRE[generation], detail))[None, :, None]
        children = []
        for start, heading, width in front:
            angle = heading + turn[:, column]
            elevation = 0.9 * depth_turn[:, column]
            length = reach * (1.0, 0.85, 0.75)[generation]
            step = np.stack(
                [sign * np.sin(angle) * np.cos(elevation), np.cos(angle) * np.cos(elevation), np.sin(elevation)],
                axis=-1,
            )
            end = start + step * length[:, None]
            path = start[:, None] + (end - start)[:, None] * t
            sigma = _CALIBRE[generation] * width * col(calibre[:, column])
            scene.tube("vessels", path, sigma, 0.085 * sigma * inside(path))
            column += 1
            if generation < 2:
                children += [(end, angle - 0.42, width * 0.95), (end, angle + 0.42, width * 0.9)]
        front = children


def _inside(scene: Scene, name: str, path: Array) -> Array:
    """How far inside the ellipsoid each point of (B, n, 3) lies: 1 well inside, 0 outside, soft between."""
    local = np.einsum("bij,bnj->bni", np.linalg.inv(scene.axes[name]), path - scene.centers[name][:, None])
    return np.clip((1.0 - np.linalg.norm(local, axis=-1)) / 0.12, 0.0, 1.0)
