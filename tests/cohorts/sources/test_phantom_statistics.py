"""Version 2 of the phantom lies near real images in what benchmarks/phantom_statistics.py measures."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reidbench.cohorts.base import Cohort
from reidbench.cohorts.sources.phantom import Phantom

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "phantom_statistics.py"

#: Bounds around the figures of real train patients that docs/phantom.md shows.
BOUNDS = {
    "grey level, quantile 0.05": (0.08, 0.25),
    "grey level, quantile 0.5": (0.52, 0.66),
    "grey level, quantile 0.95": (0.80, 0.91),
    "median of an image, deviation": (0.08, 0.15),
    "contrast of an image, mean": (0.19, 0.26),
    "slope of the power density": (-3.9, -3.1),
    "share between patients, 1 × 1": (0.2, 0.5),
    "share between patients, 4 × 4": (0.3, 0.5),
    "share between patients, 8 × 8": (0.25, 0.42),
    "raw pixels, AUC": (0.62, 0.76),
}


@pytest.fixture(scope="module")
def statistics() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phantom_statistics", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up while it is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_statistics_lie_near_those_of_real_images(statistics: ModuleType) -> None:
    phantom = Phantom(version=2, patients=140, images_per_patient=3, seed=5)
    frame = phantom.source().frame
    frame = frame[frame.groupby("patient_id")["image_id"].transform("size") >= 2].reset_index(drop=True)
    pixels = np.concatenate([phantom.read(frame.iloc[i : i + 32], 64) for i in range(0, len(frame), 32)])
    cohort = Cohort("phantom", frame.assign(split="train"), pixels, (), "")
    found = statistics.figures(statistics.sample(cohort, 100, 3))
    outside = {name: found[name] for name, (low, high) in BOUNDS.items() if not low < found[name] < high}
    assert outside == {}


def test_variances_and_spectra_of_made_images_are_known(statistics: ModuleType) -> None:
    rng = np.random.default_rng(0)
    # Patients differ in their mean by 0.2, their visits from it by 0.1: four fifths of the variance.
    owners = np.repeat(np.arange(400), 3)
    means = rng.normal(0, 0.2, 400)[owners] + rng.normal(0, 0.1, 1200)
    pixels = np.full((1200, 32, 32), 0.5) + means[:, None, None]
    told = statistics.variances(statistics.Sample(pixels, owners))
    assert told["share between patients, 1 × 1"] == pytest.approx(0.8, abs=0.04)
    assert told["deviation at 1 × 1 cells"] == pytest.approx(np.sqrt(0.05), rel=0.06)
    assert told["deviation at 8 × 8 cells"] == pytest.approx(0, abs=1e-12)
    # White noise has the same density everywhere.
    noise = statistics.spectrum(rng.normal(size=(200, 64, 64)))
    assert noise["slope of the power density"] == pytest.approx(0, abs=0.05)
    wave = np.sin(2 * np.pi * 6 * np.arange(64) / 64) + rng.normal(0, 0.01, (1, 64, 64))
    assert statistics.spectrum(wave)["power, 4–8 cycles"] > 0.95
