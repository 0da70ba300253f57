"""The phantom's line integrals against sums along the rays, and its exposure against Beer and Lambert."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.cohorts.sources.phantom.exposure import expose
from reidbench.cohorts.sources.phantom.pose import pose
from reidbench.cohorts.sources.phantom.projection import Rays, project, ray_constants
from reidbench.cohorts.sources.phantom.scene import Scene, rotation, steps

SIZE = 24
STILL = dict.fromkeys(("roll", "tilt", "yaw", "shift_x", "shift_y", "ap"), 0.0)


def still(**changed: float) -> dict[str, np.ndarray]:
    return {name: np.array([value]) for name, value in {**STILL, **changed}.items()}


def rays(scene: Scene) -> tuple[Rays, np.ndarray]:
    grid = np.linspace(-60, 60, SIZE)
    constants = {n: torch.from_numpy(ray_constants(scene.centers[n], scene.axes[n])) for n in scene.centers}
    return Rays(constants, torch.from_numpy(grid)[None]), grid


def tilted() -> Scene:
    scene = Scene(1, np.array([0.25]))
    scene.ellipsoid("one", [5, -8, 10], [40, 22, 30], 25)
    scene.ellipsoid("other", [-12, 4, 25], [30, 35, 18], -40)
    turn = rotation(np.array([20.0]), 0) @ rotation(np.array([-15.0]), 1)
    for name in scene.axes:
        scene.axes[name] = turn @ scene.axes[name]
    return scene


def inside(scene: Scene, name: str, grid: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Whether points of the grid lie inside, (rows, columns, z)."""
    y, x, depth = np.meshgrid(grid, grid, z, indexing="ij")
    away = np.stack([x, y, depth], -1) - scene.centers[name][0]
    return np.linalg.norm(away @ np.linalg.inv(scene.axes[name][0]).T, axis=-1) <= 1


def test_chords_and_overlaps_are_what_sampling_along_the_rays_finds() -> None:
    scene = tilted()
    traced, grid = rays(scene)
    z, step = np.linspace(-80, 80, 3201, retstep=True)
    one, other = inside(scene, "one", grid, z), inside(scene, "other", grid, z)
    np.testing.assert_allclose(2 * traced.half("one")[0], one.sum(-1) * step, atol=2.5 * step)
    np.testing.assert_allclose(traced.overlap("one", "other")[0], (one & other).sum(-1) * step, atol=2.5 * step)
    assert (one & other).any()
    low, high = traced.ends("other")
    hit = other.any(-1)
    np.testing.assert_allclose(low[0].numpy()[hit], z[other.argmax(-1)][hit], atol=2.5 * step)
    np.testing.assert_allclose((high - low)[0], 2 * traced.half("other")[0], atol=1e-9)


def test_a_sphere_has_the_chords_of_a_sphere() -> None:
    scene = Scene(1, np.array([0.25]))
    scene.ellipsoid("ball", [0, 0, 7], [50, 50, 50])
    traced, grid = rays(scene)
    radius = np.hypot(grid[:, None], grid[None])
    np.testing.assert_allclose(2 * traced.half("ball")[0], 2 * np.sqrt(np.clip(2500 - radius**2, 0, None)), atol=1e-9)


def test_a_tube_attenuates_by_its_depth_on_the_axis_and_by_none_far_away() -> None:
    scene = Scene(1, np.array([0.25]))
    for name in ("torso", "neck", "trapezius_right", "trapezius_left", "shoulder_right", "shoulder_left"):
        scene.ellipsoid(name, [0, 900, 0], [1, 1, 1])
    for name in ("arm_right", "arm_left", "breast_right", "breast_left", "bubble"):
        scene.ellipsoid(name, [0, 900, 0], [1, 1, 1])
    t = np.linspace(-160, 160, steps(320, 8.0, 350 / 65))
    scene.tube("ribs", np.stack([t, 0 * t, 0 * t], -1)[None], 8.0, 0.3)
    (found,) = project(scene, np.array([0.0]), 65)
    pixel = 350 / 65
    middle = found.lines[0, 32, 16:49].numpy()
    # The pixel's own width spreads the tube a little: a ninth of a squared pixel.
    np.testing.assert_allclose(middle, 0.3 * 8 / np.sqrt(64 + pixel**2 / 9), rtol=0.01)
    assert found.lines[0, :16].abs().max() < 1e-9


@pytest.mark.parametrize(("ap", "z", "larger"), [(0, 120, False), (0, -60, True), (1, 60, True), (1, -120, False)])
def test_what_lies_far_from_the_detector_is_larger(ap: int, z: float, larger: bool) -> None:
    scene = Scene(1, np.array([0.25]))
    scene.ellipsoid("ball", [50, 0, z], [10, 10, 10])
    scene.cloud("ribs", np.array([[[50.0, 0.0, z]]]), 3.0, 1.0)
    posed = pose(scene, still(ap=ap))
    assert (posed.centers["ball"][0, 0] > 50) == larger
    assert (np.linalg.norm(posed.axes["ball"][0][:, 0]) > 10) == larger
    np.testing.assert_allclose(posed.all_points()[0, 0, :2], posed.centers["ball"][0, :2])


def test_a_heart_is_magnified_more_in_ap() -> None:
    scene = Scene(1, np.array([0.25]))
    scene.ellipsoid("ventricle", [0, 0, 25], [50, 40, 40])
    width = [np.linalg.norm(pose(scene, still(ap=ap)).axes["ventricle"][0][0]) for ap in (0, 1)]
    assert width[1] > width[0]


def test_pose_turns_and_shifts_bodies() -> None:
    scene = Scene(1, np.array([0.25]))
    scene.cloud("ribs", np.array([[[100.0, 0.0, 0.0]]]), 3.0, 1.0)
    turned = pose(scene, still(roll=90.0, shift_x=5.0)).all_points()[0, 0]
    np.testing.assert_allclose(turned[:3], [5.0, 100.0, 0.0], atol=1e-9)
    assert pose(scene, still(yaw=30.0)).all_points()[0, 0, 0] < 100


def quiet(**changed: float) -> dict[str, torch.Tensor]:
    names = ("heel", "kilovolt", "scatter", "ap", "dose", "width", "center", "gamma")
    return {name: torch.tensor([changed.get(name, 0.0)], dtype=torch.float64) for name in names}


def test_thicker_is_brighter_and_noise_falls_with_dose() -> None:
    lines = torch.linspace(0.5, 5, 32, dtype=torch.float64).expand(1, 32, 32).contiguous()
    pixel = torch.tensor([5.0], dtype=torch.float64)
    none = torch.zeros_like(lines)
    clean = expose(lines, quiet(), pixel, none)
    assert (clean.diff(dim=2) > 0).all()
    assert clean.min() >= 0
    assert clean.max() <= 1
    grain = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 32, 32)))
    little, much = ((expose(lines, quiet(dose=dose), pixel, grain) - clean).std() for dose in (-3.0, 0.0))
    assert little > 2 * much > 0


def test_wide_window_has_less_contrast_and_scatter_too() -> None:
    lines = torch.linspace(0.5, 5, 32, dtype=torch.float64).expand(1, 32, 32).contiguous()
    pixel, none = torch.tensor([5.0], dtype=torch.float64), torch.zeros_like(lines)
    plain, wide, foggy = (
        expose(lines, quiet(**change), pixel, none) for change in ({}, {"width": 0.3}, {"scatter": 1.0})
    )
    assert wide.std() < plain.std()
    assert foggy.std() < plain.std()


def test_more_points_where_pixels_are_finer() -> None:
    assert steps(300, 1.5, 0.5) > steps(300, 1.5, 5.0) >= 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same_bytes() -> None:
    from reidbench.cohorts.sources.phantom import Phantom
    from reidbench.cohorts.sources.phantom.exposure import render

    phantom = Phantom(version=1, patients=20)
    rows = phantom.source().frame.head(16)
    scene, v = phantom.scene(rows, 64)
    grain = np.random.default_rng(0).standard_normal((16, 64, 64))
    cpu, gpu = (render(scene, v, 64, grain, device=device).astype(int) for device in ("cpu", "cuda"))
    assert np.abs(cpu - gpu).max() <= 1
    assert (cpu != gpu).mean() < 1e-4
