"""What an attacker can get hold of: originals, what a defense publishes of them, and its own runs of the mechanism."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from reidbench.attackers.base import Side
from reidbench.cohorts.base import Cohort
from reidbench.defenses.base import BaseDefense, CohortDefense, Defense, Privacy
from reidbench.defenses.fingerprint import by_content
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.release import draw_batch, release
from reidbench.errors import PluginError, ReidbenchError
from reidbench.images import to_unit
from reidbench.networks.precision import in_full
from reidbench.plugins import Found
from reidbench.progress import Progress
from reidbench.records.parts.provenance import DefenseInfo, PrivacyInfo
from reidbench.source_version import code_version, source_digest
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.fitted_defenses import Fit, fitting, fitting_key, read_fit
from reidbench.steps.mapped_arrays import ArrayReference, reference

# Draw 0 is what is published. The attacker's own runs of the mechanism on its own patients have other numbers.
PUBLISHED = 0
ATTACKERS_VALIDATION = 1
ATTACKERS_FIRST = 2
# Whole releases of its own patients that an attacker of a cohort defense makes; an image defense is run batch by batch.
# Each is made of sets of about as many patients as are published: among more patients, those of a cluster are more
# alike, and an attacker that learned on such clusters would be tested on others.
COHORT_DRAWS = 3
ATTACKERS_OWN = range(ATTACKERS_FIRST, ATTACKERS_FIRST + COHORT_DRAWS)


@dataclass(frozen=True)
class Images:
    """Pixels with the digest of all that determines them.

    Attributes:
        pixels: (N, H, W) uint8.
        digest: equal digests mean equal pixels.
    """

    pixels: NDArray[np.uint8]
    digest: str


@dataclass(frozen=True)
class ArraySide:
    """A side of a scenario whose images never change, or of which there are several whole versions."""

    versions: tuple[NDArray[np.uint8], ...]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files anew, in place of being sent their pixels."""
        return _array_side, tuple(reference(pixels) for pixels in self.versions)

    def __call__(self, index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        """Images of these rows; of several versions one is drawn for the whole batch."""
        number = 0
        if len(self.versions) > 1:
            number = int(torch.randint(len(self.versions), (1,), generator=generator))
        return to_unit(self.versions[number][index], device)


@dataclass(frozen=True)
class MechanismSide:
    """A side of a scenario whose images go through the mechanism afresh at each call."""

    defense: Defense
    pixels: NDArray[np.uint8]

    def __reduce__(self) -> tuple[Any, ...]:
        """As an :class:`ArraySide`."""
        return _mechanism_side, (self.defense, reference(self.pixels))

    def __call__(self, index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        """New draws of the release of these rows."""
        if isinstance(self.defense, BaseFittedDefense):
            # Several processes train on a device each; it was fitted on the first.
            self.defense.network.to(device)
        with in_full(device):
            return draw_batch(self.defense, to_unit(self.pixels[index], device), generator)


def _array_side(*versions: ArrayReference) -> ArraySide:
    return ArraySide(tuple(version.open() for version in versions))


def _mechanism_side(defense: Defense, pixels: ArrayReference) -> MechanismSide:
    return MechanismSide(defense, pixels.open())


class Published(ABC):
    """One kind of images: the originals, or a defense's releases.

    Images are made when they are asked for, and kept. A plan makes them before: :meth:`steps` says which steps that
    takes, and :meth:`digest` names the result of steps that are not made yet.
    """

    #: What the record calls it; known before anything is made.
    name: str
    #: Determines everything drawn from here, for the keys of steps.
    key: dict[str, Any]
    #: The originals by split.
    parts: dict[str, Cohort]

    @abstractmethod
    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The images of a split, one version each."""

    @abstractmethod
    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """The digest of :meth:`images`, which need not be made for it."""

    @abstractmethod
    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """What is made for :meth:`images`, in this order."""

    @abstractmethod
    def side(self) -> Side:
        """The training patients' images, for attackers in training."""

    @abstractmethod
    def side_steps(self) -> list[CachedStep]:
        """What is made for :meth:`side`, in this order."""

    def side_draws(self) -> tuple[int, ...]:
        """The draws of the training images that :meth:`side` takes its images from; none where it makes them afresh."""
        return ()

    @abstractmethod
    def info(self) -> DefenseInfo:
        """What the record says of it."""


class Originals(Published):
    """Images as they are: what the attacker knows beforehand, and what an undefended publication gives away."""

    name = "undefended"

    def __init__(self, parts: dict[str, Cohort]) -> None:
        self.parts = parts
        any_part = next(iter(parts.values()))
        self.key = {"images": "originals", "revision": any_part.revision, "size": any_part.size}

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The originals of a split; every draw is the same."""
        return Images(self.parts[split].pixels, self.digest(split))

    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """Names revision, size and split."""
        return f"originals:{self.key['revision']}:{self.key['size']}:{split}"

    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """None: originals are there."""
        return []

    def side(self) -> Side:
        """The training patients' originals."""
        return ArraySide((self.parts["train"].pixels,))

    def side_steps(self) -> list[CachedStep]:
        """None: originals are there."""
        return []

    def side_draws(self) -> tuple[int, ...]:
        """The originals."""
        return (PUBLISHED,)

    def info(self) -> DefenseInfo:
        """The undefended run."""
        summary = "No defense: the originals are published."
        return DefenseInfo(name=self.name, distribution="", version="", kind="none", summary=summary, options={})


class Release(Published):
    """What a defense publishes. One that trains first is fitted when the first image is asked for.

    Args:
        defense: with its options.
        found: where it comes from.
        parts: the originals by split.
        seed: the release seed.

    Raises:
        ReidbenchError: the defense publishes no images.
        PluginError: what it claims to guarantee is no claim; said here, before anything is trained.
    """

    def __init__(
        self,
        defense: BaseDefense,
        found: Found,
        parts: dict[str, Cohort],
        *,
        seed: int,
        cache: StepCache,
        device: torch.device,
        progress: Progress,
    ) -> None:
        if not isinstance(defense, Defense | CohortDefense):
            raise ReidbenchError(f"defense {defense.name!r} is of kind {defense.kind!r}, which publishes no images")
        self.defense = defense
        self.name = defense.name
        self.found = found
        self.parts = parts
        self.seed = seed
        self._cache = cache
        self._device = device
        self._progress = progress
        self._options = defense.model_dump(mode="json")
        originals = Originals(parts).key
        self._privacy = _claimed(defense, originals["size"])
        self.key = {
            **originals,
            "images": "release",
            "defense": defense.name,
            "options": by_content(self._options),
            "distribution": [found.distribution, found.version],
            "source": source_digest(type(defense)),
            "code": code_version("reidbench.defenses", "reidbench.images"),
            "seed": seed,
            # The arithmetic's own versions: kernels round as they do, and NumPy may change what a generator gives.
            "device": device.type,
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
        if isinstance(defense, BaseFittedDefense):
            self.key["fit"] = fitting_key()
        self._fit: Fit | None = None

    def mechanism(self) -> BaseDefense:
        """The defense, ready to publish: trained now, if it trains and isn't yet."""
        fitted = self._fitted()
        return fitted.defense if fitted else self.defense

    def _fitted(self) -> Fit | None:
        if self._fit is None and isinstance(self.defense, BaseFittedDefense):
            (step,) = self._fitting()
            self._fit = read_fit(step.make(self._progress), self.defense, self.parts["train"], device=self._device)
        return self._fit

    def _fitting(self) -> list[CachedStep]:
        if not isinstance(self.defense, BaseFittedDefense):
            return []
        train = self.parts["train"]
        return [fitting(self.defense, train, self.key, seed=self.seed, cache=self._cache, device=self._device)]

    def images(self, split: str, draw: int = PUBLISHED) -> Images:
        """The release of a split; draws above 0 are an attacker's own runs."""
        step = self._release(split, draw).make(self._progress)
        return Images(np.load(step.path / "pixels.npy", mmap_mode="r"), step.digest)

    def digest(self, split: str, draw: int = PUBLISHED) -> str:
        """Of the step that makes these images."""
        return self._release(split, draw).digest

    def steps(self, split: str, draw: int = PUBLISHED) -> list[CachedStep]:
        """The defense's own training, if it trains, and the release."""
        return [*self._fitting(), self._release(split, draw)]

    def _release(self, split: str, draw: int) -> CachedStep:
        if isinstance(self.defense, Defense) and self.defense.deterministic:
            draw = PUBLISHED
        sets = self._sets(split, draw)

        def write(folder: Path, progress: Progress) -> None:
            part = self.parts[split]
            pixels = np.empty_like(part.pixels)
            for number, rows in enumerate(sets):
                # Sets have draws of their own, of which the first set has the one asked for.
                pixels[rows] = release(
                    self.mechanism(),
                    part.pixels if len(sets) == 1 else part.pixels[rows],
                    part.frame["image_id"].to_numpy()[rows].tolist(),
                    part.frame["patient"].to_numpy()[rows],
                    seed=self.seed,
                    draw=draw + number * COHORT_DRAWS,
                    device=self._device,
                    progress=progress,
                )
            np.save(folder / "pixels.npy", pixels)

        key = {**self.key, "split": split, "draw": draw}
        if len(sets) > 1:
            key["sets"] = len(sets)
        return CachedStep(self._cache, "release", key, write)

    def _sets(self, split: str, draw: int) -> list[NDArray[np.intp]]:
        """Rows of a split that are released together: all, or sets of about as many patients as are published."""
        patients = self.parts[split].frame["patient"].to_numpy()
        everyone, published = np.unique(patients), self.parts["test"].frame["patient"].nunique()
        count = len(everyone) // max(published, 1)
        if split != "train" or draw not in ATTACKERS_OWN or isinstance(self.defense, Defense) or count < 2:
            return [np.arange(len(patients))]
        order = np.random.default_rng([self.seed, draw]).permutation(everyone)
        return [np.flatnonzero(np.isin(patients, one)) for one in np.array_split(order, count)]

    def side(self) -> Side:
        """The training patients' images through the attacker's own runs of the mechanism."""
        if draws := self.side_draws():
            return ArraySide(tuple(self.images("train", draw).pixels for draw in draws))
        mechanism = self.mechanism()
        assert isinstance(mechanism, Defense)
        return MechanismSide(mechanism, self.parts["train"].pixels)

    def side_steps(self) -> list[CachedStep]:
        """The defense's own training, and whole releases where the mechanism is not run batch by batch."""
        return [step for draw in self.side_draws() for step in self.steps("train", draw)] or self._fitting()

    def side_draws(self) -> tuple[int, ...]:
        """The release where there is only one, some releases where the mechanism takes a whole cohort, or none."""
        if isinstance(self.defense, Defense):
            return (PUBLISHED,) if self.defense.deterministic else ()
        return tuple(ATTACKERS_OWN)

    def info(self) -> DefenseInfo:
        """The defense with its options, its source and what it guarantees."""
        fitted = self._fitted()
        doc = (type(self.defense).__doc__ or "").strip()
        return DefenseInfo(
            name=self.defense.name,
            distribution=self.found.distribution,
            version=self.found.version,
            kind=self.defense.kind,
            summary=doc.split("\n\n")[0].replace("\n", " ").strip(),
            options=by_content(self._options),
            privacy=self._privacy,
            fitting=fitted.info if fitted else None,
            published=by_content(self.defense.unlike_published() or {}) or None,
            unmatched_break=self.defense.unmatched_break(),
        )


def _claimed(defense: BaseDefense, size: int) -> PrivacyInfo | None:
    # What a plugin claims for images of this size, as the record keeps it.
    try:
        claimed = defense.privacy(size, size)
    except Exception as error:
        raise PluginError(f"{defense.name}: privacy() raised {type(error).__name__}: {error}") from error
    if claimed is None:
        return None
    if not isinstance(claimed, Privacy):
        raise PluginError(f"{defense.name}: privacy() returned {type(claimed).__name__}, not Privacy or None")
    try:
        return PrivacyInfo(**asdict(claimed))
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        value = getattr(claimed, field)
        raise PluginError(f"{defense.name}: privacy() claims {field}={value!r}, which no record can hold") from error
