"""The phantom's projection against the plain way to write it: an image, a body and a point at a time, in numpy."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from reidbench.cohorts.sources.phantom import Phantom
from reidbench.cohorts.sources.phantom.pose import FIELD
from reidbench.cohorts.sources.phantom.projection import TISSUE, project
from reidbench.cohorts.sources.phantom.scene import APERTURE, Scene

SIZE = 64
SOFT = ("torso", "neck", *(f"{part}_{side}" for part in ("trapezius", "shoulder", "arm") for side in ("right", "left")))
IN_RIGHT = ("dome_right", "atrium", "ventricle", "mediastinum", "cava", "fluid_right")
IN_LEFT = ("dome_left", "ventricle", "atrium", "mediastinum", "trunk", "knob", "aorta", "fluid_left")


def interval(scene: Scene, body: int, name: str, grid: NDArray) -> tuple[NDArray, NDArray]:
    """Where rays along z enter and leave an ellipsoid: the roots of |A⁻¹ (o + t·e_z − c)|² = 1."""
    inverse = np.linalg.inv(scene.axes[name][body])
    center = scene.centers[name][body]
    y, x = np.meshgrid(grid, grid, indexing="ij")
    y = np.minimum(y, center[1]) if name.startswith("dome") else y
    origin = np.stack([x - center[0], y - center[1], np.full_like(x, -center[2])], axis=-1) @ inverse.T
    along = inverse[:, 2]
    a, b, c = along @ along, origin @ along, (origin**2).sum(-1) - 1
    middle, q = -b / a, np.clip(1 - (c + 1 - b**2 / a), 0, None)
    half = np.sqrt(q * (2 - q) if name == "torso" else q) / np.sqrt(a)
    return middle - half, middle + half


def overlap(one: tuple[NDArray, NDArray], other: tuple[NDArray, NDArray]) -> NDArray:
    return np.clip(np.minimum(one[1], other[1]) - np.maximum(one[0], other[0]), 0, None)


def reference(scene: Scene, zoom: NDArray) -> NDArray:
    """(B, SIZE, SIZE) line integrals."""
    images = []
    for body in range(scene.batch):
        pixel = FIELD * np.exp(zoom[body]) / SIZE
        grid = pixel * (np.arange(SIZE) - (SIZE - 1) / 2)

        def length(name: str, body: int = body, grid: NDArray = grid) -> NDArray:
            low, high = interval(scene, body, name, grid)
            return high - low

        soft = np.max([length(name) for name in SOFT], axis=0)
        soft = soft + 0.8 * (length("breast_right") + length("breast_left")) - 0.75 * length("bubble")
        density = scene.lung_density[body]
        for side, displaced in (("right", IN_RIGHT), ("left", IN_LEFT)):
            lung = interval(scene, body, f"lung_{side}", grid)
            whole = lung[1] - lung[0] + 1e-9
            share = np.ones_like(whole)
            for name in displaced:
                share = share * (1 - overlap(lung, interval(scene, body, name, grid)) / whole)
            air = (lung[1] - lung[0]) * share
            soft = soft - air * (1 - density)
            rest = interval(scene, body, f"rest_{side}", grid)
            if (rest[1] > rest[0]).any():
                soft = soft + air * density * (1.9 * overlap(lung, rest) / whole - 1)
        lines = soft * TISSUE
        for x, y, _, sx, sy, mass in scene.all_points()[body]:
            sx, sy = np.hypot(sx, pixel * np.sqrt(APERTURE)), np.hypot(sy, pixel * np.sqrt(APERTURE))
            bump = np.exp(-0.5 * (((grid - x) / sx)[None, :] ** 2 + ((grid - y) / sy)[:, None] ** 2))
            lines = lines + mass / (2 * np.pi * sx * sy) * bump
        images.append(np.clip(lines, 0, None))
    return np.stack(images)


def ours(scene: Scene, zoom: NDArray) -> NDArray:
    with torch.inference_mode():
        return np.concatenate([some.lines.numpy() for some in project(scene, zoom, SIZE)])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    frame = Phantom(patients=60).source().frame
    ill = frame[frame["Pneumothorax"] == 1].head(1)
    return pd.concat([frame.head(3), ill])


def seconds(work, times: int) -> float:
    best = np.inf
    for _ in range(times):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def test_projection_is_many_times_as_fast_as_a_loop_and_says_the_same(rows: pd.DataFrame, benchmark) -> None:
    scene, v = Phantom(version=1, patients=60).scene(rows, SIZE)
    np.testing.assert_allclose(ours(scene, v["zoom"]), reference(scene, v["zoom"]), atol=1e-6)
    benchmark(ours, scene, v["zoom"])
    ratio = seconds(lambda: reference(scene, v["zoom"]), 1) / seconds(lambda: ours(scene, v["zoom"]), 5)
    benchmark.extra_info["times as fast as a loop"] = ratio
    print(f"projection: {ratio:.1f} times as fast as a loop over images and bodies")
    assert ratio > 8


def test_images_a_second(rows: pd.DataFrame, benchmark) -> None:
    """Everything, from rows to bytes: bodies, projection, noise, display."""
    phantom = Phantom(version=1, patients=60)
    many = pd.concat([rows] * 8)
    scene, v = phantom.scene(rows, SIZE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pixels = benchmark(phantom.read, many, SIZE)
        whole = seconds(lambda: phantom.read(many, SIZE), 3) / len(many)
    finally:
        torch.set_num_threads(threads)
    loop = seconds(lambda: reference(scene, v["zoom"]), 1) / len(rows)
    benchmark.extra_info["images a second and core"] = 1 / whole
    print(f"phantom: {1 / whole:.0f} images a second on a core, {loop / whole:.1f} times a loop's projection alone")
    assert pixels.shape == (len(many), SIZE, SIZE)
    assert loop > 4 * whole
