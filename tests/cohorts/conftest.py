"""Small datasets written for a test, and the real ones where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidbench.cohorts.base import Source
from reidbench.cohorts.sources.file_dataset import FileDataset

REAL = Path(__file__).parents[3] / "shared" / "data"


class Pictures(FileDataset):
    """PNG files named <patient>_<number>.png, each patient in the split that the name's first letter says."""

    name = "pictures"

    def source(self) -> Source:
        paths = sorted(self.root.glob("*.png"))
        names = [path.name for path in paths]
        splits = {"t": "train", "v": "val", "e": "test"}
        frame = pd.DataFrame(
            {
                "image_id": names,
                "patient_id": [name.split("_")[0] for name in names],
                "split": [splits[name[0]] for name in names],
                "path": [str(path) for path in paths],
            }
        )
        return Source(frame)


@pytest.fixture
def real_data() -> Path:
    if not REAL.is_dir():
        pytest.skip("the real X-rays of ../shared/data are not here")
    return REAL


@pytest.fixture
def write_png() -> Callable[..., Path]:
    def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
        """A grey PNG of smooth noise."""
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 5), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
        return path

    return write


@pytest.fixture
def pictures(tmp_path: Path, write_png: Callable[..., Path]) -> Pictures:
    """Ten images of five patients, two of them in the test part, none in the validation part."""
    root = tmp_path / "pictures"
    for patient in range(5):
        for number in range(2):
            write_png(root / f"{'te'[patient > 2]}{patient}_{number}.png", seed=10 * patient + number)
    return Pictures(root=root)


@pytest.fixture
def cohort_frame() -> Callable[[list[int]], pd.DataFrame]:
    def frame(patients: list[int]) -> pd.DataFrame:
        """A split's table of these patients, without metadata."""
        return pd.DataFrame({"image_id": [f"i{row}" for row in range(len(patients))], "patient": patients})

    return frame
