"""Releases of a small folder, as tests make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reidbench.choosing import choose_defenses
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.folder import Folder
from reidbench.defenses.release import release
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.studies.release import publish


def folder(root: Path, patients: int = 6, images: int = 2) -> Folder:
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,sex,Mass"]
    root.mkdir(parents=True, exist_ok=True)
    for patient in range(patients):
        for number in range(images):
            name = f"name-{patient}-{number}.png"
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(root / name)
            lines.append(f"{name},ward-{patient},F,{number % 2}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return Folder(root=root)


def made(tmp_path: Path, dataset: Any, defense: str = "gaussian_noise:sigma=0.1", **how: Any) -> dict[str, Any]:
    [chosen] = choose_defenses(Registry(()), [defense])
    options: dict[str, Any] = {
        "form": "png",
        "patients": False,
        "split": None,
        "keep": (),
        "record": None,
        "strongest": (None, None),
    }
    options |= how
    return publish(
        dataset,
        chosen,
        out=options.pop("out", tmp_path / "out"),
        key_path=options.pop("key_path", tmp_path / "out.key.json"),
        size=options.pop("size", 16),
        cache=tmp_path / "cache",
        device=torch.device("cpu"),
        strict=False,
        progress=Silent(),
        **options,
    )


def expected(tmp_path: Path, dataset: Any, defense: str, seed: int) -> dict[str, np.ndarray]:
    [chosen] = choose_defenses(Registry(()), [defense])
    cohort = load_cohort(dataset, size=16, cache=tmp_path / "cache")
    images = cohort.frame["image_id"].tolist()
    pixels = release(chosen.defense, cohort.pixels, images, cohort.frame["patient"].to_numpy(), seed=seed)
    return dict(zip(images, pixels))
