"""A few published images beside their originals, where the images show nobody and may be shown to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.cohorts.base import SPLITS, Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.base import BaseDefense, CohortDefense, Defense
from reidbench.defenses.fitted import FittedDefense
from reidbench.defenses.release import release
from reidbench.errors import ReidbenchError
from reidbench.options import build
from reidbench.plugins import Found, Registry
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.steps.cache import StepCache
from reidbench.steps.fitted_defenses import recall
from reidbench.steps.releases import Release

PATIENTS, EACH = 3, 2


@dataclass(frozen=True, eq=False)
class Specimens:
    """Images of the test part, two of a patient side by side.

    Attributes:
        before: originals, (N, H, W) uint8.
        after: what is published of them, in the same order.
        note: what made them, for the caption.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    note: str


class Studio:
    """Makes specimens again from what records say; a cohort is loaded once for all of its records.

    Args:
        registry: where datasets and defenses come from.
        cache: the folder of the pixel stores.
    """

    def __init__(self, registry: Registry, cache: Path, progress: Progress) -> None:
        self._registry = registry
        self._cache = cache
        self._progress = progress
        self._cohorts: dict[tuple[str, str, int], Cohort | str] = {}

    def may_show(self, record: Record) -> bool:
        """Whether images that a record is about show nobody, so that a report may."""
        return record.track != "model" and isinstance(self._cohort(record), Cohort)

    def specimens(self, record: Record) -> Specimens | str:
        """Before and after, the very bytes that were published; or why there are none, in a few words."""
        if record.track == "model":
            return "a model is published, and no image"
        cohort = self._cohort(record)
        if isinstance(cohort, str):
            return cohort
        part = cohort.part("test")
        rows = _rows(part)
        before = np.asarray(part.pixels[rows])
        if record.defense.kind == "none":
            return Specimens(before, before, "nothing was changed")
        try:
            found = self._registry.describe("defense", record.defense.name)
            cls = self._registry.get("defense", record.defense.name)
            if not issubclass(cls, BaseDefense):
                return f"{record.defense.name} is no defense here"
            defense = build("defense", cls, record.defense.options)
            if isinstance(defense, FittedDefense):
                fitted = self._recall(defense, found, cohort, record)
                if fitted is None:
                    return "it was trained first, and its weights are no longer in the cache"
                defense = fitted
            if isinstance(defense, CohortDefense):
                after = _release(defense, part, np.arange(len(part)), record.seed)[rows]
            elif isinstance(defense, Defense):
                after = _release(defense, part, rows, record.seed)
            else:
                return f"a defense of kind {record.defense.kind} publishes no images"
        except ReidbenchError as error:
            return f"they could not be made again: {error}"
        return Specimens(before, after, f"made again by {found.distribution} {found.version}, seed {record.seed}")

    def _recall(self, defense: FittedDefense, found: Found, cohort: Cohort, record: Record) -> FittedDefense | None:
        cache, told = StepCache(self._cache / "steps"), record.defense.fitting
        there = torch.device(record.environment.device)
        parts = {split: cohort.part(split) for split in SPLITS}
        release = Release(defense, found, parts, seed=record.seed, cache=cache, device=there, progress=self._progress)
        if told is None:
            return None
        return recall(defense, release.key, told.checkpoint_sha256, cache=cache, device=torch.device("cpu"))

    def _cohort(self, record: Record) -> Cohort | str:
        data = record.dataset
        key = (data.name, data.revision, data.size)
        if key not in self._cohorts:
            self._cohorts[key] = self._load(record)
        return self._cohorts[key]

    def _load(self, record: Record) -> Cohort | str:
        data = record.dataset
        try:
            cls = self._registry.get("dataset", data.name)
            if not issubclass(cls, Dataset) or not cls.generated:
                return "images of real patients are never put into a report"
            dataset = build("dataset", cls, data.options)
            cohort = load_cohort(dataset, size=data.size, cache=self._cache, progress=self._progress)
        except ReidbenchError as error:
            return f"the dataset could not be made again: {error}"
        if cohort.revision != data.revision:
            return f"the {data.name} of this version is another revision than the record's"
        return cohort


def _rows(part: Cohort) -> NDArray[np.int64]:
    """Two images of each of the first patients that have as many."""
    patients = part.frame["patient"].to_numpy()
    counts = np.bincount(patients)
    chosen = [np.flatnonzero(patients == p)[:EACH] for p in np.flatnonzero(counts >= EACH)[:PATIENTS]]
    return np.concatenate(chosen).astype(np.int64) if chosen else np.arange(min(len(part), PATIENTS * EACH))


def _release(defense: BaseDefense, part: Cohort, rows: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    return release(
        defense,
        np.asarray(part.pixels[rows]),
        part.frame["image_id"].iloc[rows].tolist(),
        part.frame["patient"].to_numpy()[rows],
        seed=seed,
        device=torch.device("cpu"),
    )
