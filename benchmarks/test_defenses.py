"""Images per second of every built-in defense, beside gaussian_noise in the same run.

Run with ``pytest benchmarks/test_defenses.py --benchmark-enable``; images per second, and the ratio to gaussian_noise,
stand in the report's extra information. One CPU core, the path of a release: streams an image, checks and rounding.
"""

from __future__ import annotations

import time
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reidbench import CohortDefense, Defense
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.release import release
from reidbench.plugins import GROUPS, Registry
from reidbench_plugins.gaussian_noise import GaussianNoise

IMAGES = {64: 128, 256: 16}


def built_in() -> list[str]:
    registry = Registry()
    names = [entry.name for entry in entry_points(group=GROUPS["defense"]) if "reidbench_plugins" in entry.value]
    return sorted(n for n in names if issubclass(registry.get("defense", n), Defense | CohortDefense))


@cache
def images(size: int) -> NDArray[np.uint8]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(IMAGES[size], 1, size // 8, size // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    return (smooth[:, 0] * 255).round().to(torch.uint8).numpy()


def publish(defense: BaseDefense, size: int) -> NDArray[np.uint8]:
    pixels = images(size)
    ids = [str(number) for number in range(len(pixels))]
    # Two images a patient, and few enough in a cluster that k-Same finds its patients.
    return release(defense, pixels, ids, np.arange(len(pixels)) // 2, seed=0)


@cache
def reference(size: int) -> float:
    """Images per second of gaussian_noise: the best of five."""
    publish(GaussianNoise(), size)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        publish(GaussianNoise(), size)
        seconds.append(time.perf_counter() - start)
    return IMAGES[size] / min(seconds)


@pytest.mark.parametrize("size", IMAGES)
@pytest.mark.parametrize("name", built_in())
def test_images_per_second(name: str, size: int, benchmark: Any) -> None:
    torch.set_num_threads(1)
    defense = Registry().get("defense", name)()
    if isinstance(defense, BaseFittedDefense):
        defense = defense.fitted(defense.build(), torch.device("cpu"))  # Its speed hangs on no weight.
    benchmark.group = f"{size} × {size}"
    published = benchmark.pedantic(publish, args=(defense, size), rounds=5, warmup_rounds=1)
    assert published.shape == images(size).shape
    if benchmark.stats is not None:
        rate = IMAGES[size] / benchmark.stats.stats.min
        benchmark.extra_info["images_per_second"] = round(rate, 1)
        benchmark.extra_info["relative_to_gaussian_noise"] = round(rate / reference(size), 3)
