"""Images before and after a defense, for a report: kept beside the record, or made again; generated patients only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.base import Cohort, Dataset
from reidbench.errors import ReidbenchError
from reidbench.plugins import Registry
from reidbench.plugins.options import build
from reidbench.progress import Progress
from reidbench.records.examples import SUFFIX, example_rows, read_examples
from reidbench.records.schema import Record

#: Options in a record decide how much is made for its page, and records come from others.
MOST_IMAGES = 10_000


@dataclass(frozen=True, eq=False)
class ExampleImages:
    """Images of the test part, two of a patient side by side.

    Attributes:
        before: originals, (N, H, W) uint8.
        after: the published images, (N, H, W) uint8, in the same order.
        note: where they come from, for the caption.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    note: str


class ExampleSource:
    """Finds the example images of records: those kept beside a record first, else made again from what it says.

    A cohort is loaded once for all of its records, and only if images are made again.

    Args:
        registry: where datasets and defenses come from.
        cache: the folder of the pixel stores.
        progress: shows how far the loading of a cohort is.
    """

    def __init__(self, registry: Registry, cache: Path, progress: Progress) -> None:
        self.registry = registry
        self.cache = cache
        self._progress = progress
        self._cohorts: dict[tuple[str, str, int], Cohort | str] = {}

    def may_show(self, record: Record) -> bool:
        """Whether the images behind a record show generated patients, so that a report may contain them."""
        return record.track != "model" and self.generated(record) is True

    def generated(self, record: Record) -> bool | str:
        """Whether the dataset's class says that its patients are generated; or why its class is not known."""
        try:
            cls = self.registry.get("dataset", record.dataset.name)
        except ReidbenchError as error:
            return f"the dataset could not be made again: {error}"
        return issubclass(cls, Dataset) and cls.generated

    def find(self, record: Record, folder: Path) -> ExampleImages | str:
        """Images before and after the defense.

        Args:
            record: what was published.
            folder: where the record was read from.

        Returns:
            The images kept beside the record, else those of :meth:`make`; or why there are none, in a few words.
        """
        if self.may_show(record):
            kept = read_examples(folder / f"{record.stem}{SUFFIX}", record.dataset.size)
            if kept is not None:
                return ExampleImages(*kept, "kept beside the record")
        return self.make(record)

    def make(self, record: Record) -> ExampleImages | str:
        """Images before and after, equal to what was published byte by byte; or why there are none, in a few words."""
        if record.track == "model":
            return "a model is published, and no image"
        cohort = self._cohort(record)
        if isinstance(cohort, str):
            return cohort
        part = cohort.part("test")
        rows = example_rows(part)
        before = np.asarray(part.pixels[rows])
        if record.defense.kind == "none":
            return ExampleImages(before, before, "nothing was changed")
        from reidbench.studies.remake import remake  # It imports torch, which a page of kept images does without.

        made = remake(record, cohort, rows, self.registry, self.cache, self._progress)
        if isinstance(made, str):
            return made
        after, found = made
        return ExampleImages(before, after, f"made again by {found.distribution} {found.version}, seed {record.seed}")

    def _cohort(self, record: Record) -> Cohort | str:
        data = record.dataset
        key = (data.name, data.revision, data.size)
        if key not in self._cohorts:
            self._cohorts[key] = self._load(record)
        return self._cohorts[key]

    def _load(self, record: Record) -> Cohort | str:
        data = record.dataset
        generated = self.generated(record)
        if isinstance(generated, str):
            return generated
        if not generated:
            return "images of real patients are never put into a report"
        try:
            dataset: Dataset = build("dataset", self.registry.get("dataset", data.name), data.options)
            most = dataset.most_images()
            if (most or 0) > MOST_IMAGES or (most is None and dataset != build("dataset", type(dataset), {})):
                return f"only a dataset that is known to have at most {MOST_IMAGES:,} images is made for a page"
            from reidbench.cohorts.load import load_cohort  # It imports pandas, which kept images do without.

            cohort = load_cohort(dataset, size=data.size, cache=self.cache, progress=self._progress)
        except ReidbenchError as error:
            return f"the dataset could not be made again: {error}"
        if cohort.revision != data.revision:
            return f"the {data.name} of this version is another revision than the record's"
        return cohort
