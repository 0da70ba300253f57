"""Parts of images as something that is published: made once for each split, and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reidbench.attackers.base import Side
from reidbench.cohorts.base import Cohort
from reidbench.cohorts.pixels.image_parts import Part, publish
from reidbench.progress import Progress, Silent
from reidbench.records.parts.provenance import DefenseInfo
from reidbench.source_version import code_version
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.releases import PUBLISHED, ArraySide, Images, Originals, Published

KIND = "part"


class PublishedPart(Published):
    """A part of every image, published in place of the image.

    Args:
        parts: the originals by split.
        part: what is published of each.
        gain: its factor, as :func:`reidbench.cohorts.pixels.image_parts.gain_of` gives it.
    """

    def __init__(self, parts: dict[str, Cohort], part: Part, gain: float, *, cache: StepCache) -> None:
        self.parts = parts
        self.part = part
        self.gain = gain
        without = getattr(part, "without", False)
        self.name = f"{'all without ' if without else ''}{part.name}"
        self._cache = cache
        self.key = {
            **Originals(parts).key,
            "images": "part",
            "defense": self.name,
            "gain": gain,
            "code": code_version("reidbench.cohorts.pixels.image_parts", "reidbench.images"),
            "numpy": np.__version__,
        }

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The part of each image of a split; every draw is the same."""
        step = self._step(split).make(Silent())
        return Images(np.load(step.path / "pixels.npy", mmap_mode="r"), step.digest)

    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """Of the step that makes these images."""
        return self._step(split).digest

    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """The one step that makes them."""
        return [self._step(split)]

    def side(self) -> Side:
        """The part of the training patients' images."""
        return ArraySide((self.images("train").pixels,))

    def side_steps(self) -> list[CachedStep]:
        """As for the train split."""
        return self.steps("train")

    def info(self) -> DefenseInfo:
        """What is published."""
        summary = f"Of each image {self.name}, {self.gain:g} times, around mid-grey."
        return DefenseInfo(name="part", distribution="", version="", kind="none", summary=summary, options={})

    def _step(self, split: str) -> CachedStep:
        def write(folder: Path, progress: Progress) -> None:
            np.save(folder / "pixels.npy", publish(self.part, self.gain, self.parts[split].pixels))

        return CachedStep(self._cache, KIND, {**self.key, "split": split}, write)
