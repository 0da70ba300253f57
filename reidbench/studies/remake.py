"""What a record published, made again: by the installed defense, on the cohort and with the seed of the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.cohorts.base import SPLITS, Cohort
from reidbench.defenses.base import BaseDefense, CohortDefense, Defense
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.release import release
from reidbench.errors import ReidbenchError
from reidbench.plugins import Found, Registry
from reidbench.plugins.options import build
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.steps.cache import StepCache
from reidbench.steps.fitted_defenses import recall
from reidbench.steps.releases import Release

Pixels = NDArray[np.uint8]


def remake(
    record: Record, cohort: Cohort, rows: NDArray[np.int64], registry: Registry, cache: Path, progress: Progress
) -> tuple[Pixels, Found] | str:
    """Images of the test split as the record's defense published them.

    Args:
        record: names the defense, its options and the seed.
        cohort: of the record's revision.
        rows: (N,) row numbers within the test split.
        registry: where the defense comes from.
        cache: the folder of the caches; a fitted defense's weights are read from it, never trained.
        progress: as for :class:`reidbench.steps.releases.Release`.

    Returns:
        The images, (N, S, S) uint8, with the plugin that made them; or why there are none, in a few words.
    """
    part = cohort.part("test")
    try:
        found = registry.describe("defense", record.defense.name)
        cls = registry.get("defense", record.defense.name)
        if not issubclass(cls, BaseDefense):
            return f"{record.defense.name} is no defense here"
        defense = build("defense", cls, record.defense.options)
        if isinstance(defense, BaseFittedDefense):
            fitted = _recall(defense, found, cohort, record, cache, progress)
            if fitted is None:
                return "it was trained first, and its weights are no longer in the cache"
            defense = fitted
        if isinstance(defense, CohortDefense):
            return _release(defense, part, np.arange(len(part)), record.seed)[rows], found
        if isinstance(defense, Defense):
            return _release(defense, part, rows, record.seed), found
    except ReidbenchError as error:
        return f"they could not be made again: {error}"
    return f"a defense of kind {record.defense.kind} publishes no images"


def _recall(
    defense: BaseFittedDefense, found: Found, cohort: Cohort, record: Record, cache: Path, progress: Progress
) -> BaseFittedDefense | None:
    steps, told = StepCache(cache / "steps"), record.defense.fitting
    if told is None:
        return None
    there = torch.device(record.environment.device)
    parts = {split: cohort.part(split) for split in SPLITS}
    published = Release(defense, found, parts, seed=record.seed, cache=steps, device=there, progress=progress)
    return recall(defense, published.key, told.checkpoint_sha256, cache=steps, device=torch.device("cpu"))


def _release(defense: BaseDefense, part: Cohort, rows: NDArray[np.int64], seed: int) -> Pixels:
    return release(
        defense,
        np.asarray(part.pixels[rows]),
        part.frame["image_id"].iloc[rows].tolist(),
        part.frame["patient"].to_numpy()[rows],
        seed=seed,
        device=torch.device("cpu"),
    )
