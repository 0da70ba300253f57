"""A third party's package: a defense, a dataset and an attacker, from public names alone."""

import json

import numpy as np
import pandas as pd

from reidbench import Attacker, Dataset, Defense, Field, Source, Training, hookimpl


class Fade(Defense):
    """Fades every image to mid-grey and adds noise."""

    name = "example_fade"
    operating_points = {"mild": {"strength": 0.2}, "severe": {"strength": 0.95}}
    strength: float = Field(0.5, ge=0, le=1, description="share of grey and noise; 1 leaves nothing")

    def transform(self, images, *, rng):
        grey = 0.5 + 0.1 * rng.normal_like(images)
        return (images + self.strength * (grey - images)).clamp(0, 1)


class Stripes(Dataset):
    """Patients are waves of two frequencies; each visit adds grain."""

    name = "example_stripes"
    patients: int = Field(30, ge=9, description="how many patients, four images each")

    def source(self):
        number = np.repeat(np.arange(self.patients), 4)
        visit = np.tile(np.arange(4), self.patients)
        split = np.array(["train", "val", "test"])[number % 3]
        ids = [f"{p}-{v}" for p, v in zip(number, visit)]
        return Source(pd.DataFrame({"image_id": ids, "patient_id": number, "split": split}))

    def read(self, rows, size):
        y, x = np.mgrid[:size, :size] / size
        images = []
        for image_id, patient in zip(rows["image_id"], rows["patient_id"]):
            rng = np.random.default_rng([int(part) for part in image_id.split("-")])
            wave = np.sin(x * (5 + patient)) * np.cos(y * (3 + patient % 7))
            images.append(np.clip(128 + 80 * wave + rng.normal(0, 10, wave.shape), 0, 255).astype(np.uint8))
        return np.stack(images)


class Pixels(Attacker):
    """Compares pixels: nothing to train."""

    name = "example_pixels"
    presets = {"quick": {}, "standard": {"step": 1}}
    step: int = Field(2, ge=1, description="every so many pixels")

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def embed(self, images, *, device):
        pixels = images[:, :: self.step, :: self.step].reshape(len(images), -1).astype(np.float32)
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / (np.linalg.norm(pixels, axis=1, keepdims=True) + 1e-6)

    def score(self, a, b):
        return (a * b).sum(axis=1)

    def score_block(self, probes, gallery):
        return probes @ gallery.T

    def save(self, path):
        path.write_text(json.dumps(self.model_dump()))

    def load(self, path, *, device):
        json.loads(path.read_text())


@hookimpl
def reidbench_defenses():
    return [Fade]


@hookimpl
def reidbench_datasets():
    return [Stripes]


@hookimpl
def reidbench_attackers():
    return [Pixels]
