"""An attacker in a loose file: it averages noise away, which single pixels do not."""

import time

import numpy as np
import torch

from reidbench import Attacker, Field, ReidbenchError, Training, hookimpl, seed_of, to_pixels


class Cells(Attacker):
    """Compares means over cells, less what all images have in common.

    The mean image is all that it learns.
    """

    name = "cells"
    presets = {"quick": {}, "standard": {}}
    side: int = Field(3, ge=1, le=32, description="pixels along the side of a cell")
    _mean: np.ndarray | None = None

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        began = time.perf_counter()
        generator = torch.Generator().manual_seed(seed_of(seed, "sides"))
        rows = np.arange(len(train.patients))
        sides = [side(rows, generator=generator, device=device) for side in (train.probe, train.gallery)]
        self._mean = np.concatenate([self._cells(to_pixels(side)) for side in sides]).mean(axis=0)
        seconds = time.perf_counter() - began
        return Training(epochs=1, images_seen=2 * len(rows), seconds=seconds, learned=True, history=[])

    def embed(self, images, *, device):
        if self._mean is None:
            raise ReidbenchError("cells: neither trained nor loaded yet")
        cells = self._cells(images) - self._mean
        return cells / (np.linalg.norm(cells, axis=1, keepdims=True) + np.float32(1e-6))

    def score(self, a, b):
        return (a * b).sum(axis=1)

    def score_block(self, probes, gallery):
        return (probes[:, None] * gallery[None]).sum(axis=2)

    def save(self, path):
        np.save(path.open("wb"), self._mean)

    def load(self, path, *, device):
        self._mean = np.load(path.open("rb"))

    def _cells(self, images):
        count, height, width = images.shape
        rows, columns = height // self.side, width // self.side
        kept = images[:, : rows * self.side, : columns * self.side].astype(np.float32)
        means = kept.reshape(count, rows, self.side, columns, self.side).mean(axis=(2, 4)).reshape(count, -1)
        return means - means.mean(axis=1, keepdims=True)


@hookimpl
def reidbench_attackers():
    return [Cells]
