"""An epoch from the pixel store against decoding every file in every epoch, and memory against the cohort's size.

Run with ``pytest benchmarks --benchmark-enable``; the ratios stand in the report's extra information.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.folder import Folder

IMAGES, SIZE, BATCH = 96, 256, 32


@pytest.fixture(scope="module")
def xrays(tmp_path_factory) -> Folder:
    """Files as published: 1024×1024 PNG, soft shapes under fine noise, half a megabyte each."""
    root = tmp_path_factory.mktemp("xrays")
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,split"]
    for number in range(IMAGES):
        soft = Image.fromarray(rng.integers(0, 240, (9, 9), dtype=np.uint8)).resize(
            (1024, 1024), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(soft, dtype=np.int16) + rng.integers(-3, 4, (1024, 1024))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / f"{number}.png")
        lines.append(f"{number}.png,{number // 2},train")
    (root / "manifest.csv").write_text("\n".join(lines))
    return Folder(root=root)


def test_epoch_from_the_store(benchmark, xrays: Folder, tmp_path: Path) -> None:
    cohort = load_cohort(xrays, size=SIZE, cache=tmp_path)
    order = np.random.default_rng(0).permutation(IMAGES)
    seconds = []

    def epoch() -> int:
        start = time.perf_counter()
        total = 0
        for first in range(0, IMAGES, BATCH):
            batch = cohort.pixels[order[first : first + BATCH]].astype(np.float32) / 255
            total += len(batch)
        seconds.append(time.perf_counter() - start)
        return total

    assert benchmark.pedantic(epoch, rounds=10, warmup_rounds=1) == IMAGES
    start = time.perf_counter()
    for path, image_id in zip(cohort.frame["path"], cohort.frame["image_id"]):
        decode(Path(path), image_id, SIZE).astype(np.float32) / 255
    decoding = time.perf_counter() - start
    ratio = decoding / np.median(seconds)
    benchmark.extra_info |= {"images": IMAGES, "size": SIZE, "times_decoding": ratio}
    assert ratio > 10


BUILD = """
import re, sys, threading, time
from pathlib import Path
from typing import ClassVar
import numpy as np, pandas as pd
from reidbench.cohorts.base import Dataset, Source
from reidbench.cohorts.load import load_cohort

class Made(Dataset):
    name: ClassVar[str] = "made"
    chunk: ClassVar[int] = 64
    images: int
    def source(self):
        rows = np.arange(self.images)
        return Source(pd.DataFrame({"image_id": rows.astype(str), "patient_id": rows // 2, "split": "train"}))
    def read(self, rows, size):
        return np.ones((len(rows), size, size), np.uint8)

# Private memory: how much of a mapped file is counted depends on the kernel, and it is given back when it is short.
most, status = 0, Path("/proc/self/status")

def watch():
    global most
    while True:
        most = max(most, int(re.search(r"RssAnon:\\s*(\\d+) kB", status.read_text())[1]))
        time.sleep(0.002)

threading.Thread(target=watch, daemon=True).start()
for _ in range(2):
    cohort = load_cohort(Made(images=int(sys.argv[1])), size=256, cache=Path(sys.argv[2]), workers=1)
    cohort.part("train")
print(1024 * most)
"""


def peak_bytes(images: int, cache: Path) -> int:
    """Most private memory of a process while it built a store of so many images and opened it again."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(images), str(cache)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_cohort(benchmark, tmp_path: Path) -> None:
    small = peak_bytes(256, tmp_path)
    large = benchmark.pedantic(lambda: peak_bytes(8192, tmp_path), rounds=1)
    pixels = 8192 * 256 * 256
    benchmark.extra_info |= {"growth_mb": (large - small) / 1e6, "pixels_mb": pixels / 1e6, "peak_mb": large / 1e6}
    assert large - small < 0.1 * pixels
