"""The kinds of defense: what an author derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from reidbench.defenses.random import ReleaseRandom


@dataclass(frozen=True)
class Privacy:
    """A formal guarantee, as its defense claims it.

    Attributes:
        epsilon: the bound, 0 or more; smaller is stronger.
        delta: the probability, 0 to 1, that the bound does not hold; 0 for pure differential privacy.
        unit: what one more or one less of changes the release by at most epsilon: a pixel, m pixels, an image, a
            patient. Never empty: an epsilon without a unit says nothing.
        whole_image_epsilon, whole_image_delta: the same bound for one whole image, which is what a re-identification
            attack looks at; None where the unit is not part of an image. A patient's images add up once more.
        clipping_norm, noise_multiplier, sample_rate, steps: of a training with differential privacy: the norm that one
            unit's gradient is clipped to, the noise's deviation in units of it, the probability that a step takes a
            unit, and how many steps there were.
        accountant: what added the steps up.
    """

    epsilon: float
    delta: float
    unit: str
    whole_image_epsilon: float | None = None
    whole_image_delta: float | None = None
    clipping_norm: float | None = None
    noise_multiplier: float | None = None
    sample_rate: float | None = None
    steps: int | None = None
    accountant: str | None = None

    def __post_init__(self) -> None:
        if not self.unit.strip():
            raise ValueError("an epsilon needs a unit: say what is protected (a pixel, an image, a patient …)")
        # Written so that NaN, which every comparison denies, is refused too.
        for epsilon in (self.epsilon, self.whole_image_epsilon or 0):
            if not epsilon >= 0:
                raise ValueError(f"epsilon={epsilon}: an epsilon is 0 or more")
        for delta in (self.delta, self.whole_image_delta or 0):
            if not 0 <= delta <= 1:
                raise ValueError(f"delta={delta}: a delta is a probability, 0 to 1")


class BaseDefense(BaseModel, ABC):
    """What all kinds share: typed, bounded, documented options that land in the record.

    Subclasses set ``name``, have a docstring (its first line is the summary, the rest gives source and algorithm) and
    declare options as pydantic fields with ``description`` and bounds; units belong into the description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: ClassVar[str]
    kind: ClassVar[str]
    #: What lists group it under: one of ``reidbench.plugins.FAMILIES``, or a name of the author's own.
    family: ClassVar[str] = "other"
    #: Named operating points, mild to severe: options by name. ``--defense NAME:all`` runs them all, but for one named
    #: ``published``: a training at its authors' own settings, which may need a GPU and days.
    operating_points: ClassVar[dict[str, dict[str, Any]]] = {}
    #: Whether a finite gradient passes from the release back to the image, whatever the options; it may be zero only
    #: where nothing of the image is left. False promises nothing.
    differentiable: ClassVar[bool] = False

    def unlike_published(self) -> dict[str, Any] | None:
        """Options of the operating point ``published`` that this one has otherwise; None where there is no such point.

        A training far below its authors' settings is a stand-in for their method, and no measure of it.
        """
        if "published" not in self.operating_points:
            return None
        return {
            name: value for name, value in self.operating_points["published"].items() if getattr(self, name) != value
        }

    def unmatched_break(self) -> str | None:
        """A published break that no attacker of the project carries out, with its source, as one clause; else None.

        Attacks that are known to be possible and are not among the tested ones make the figures too low: boards, pages
        and the terminal say so, and do not call the mechanism private.
        """
        return None

    def privacy(self, height: int, width: int) -> Privacy | None:
        """The formal guarantee for images of this size in pixels, None where there is none."""
        return None


class Defense(BaseDefense):
    """Works on an image at a time: its release of an image depends on that image and its random stream alone."""

    kind = "image"
    #: Whether the release of an image depends on nothing but that image. An attacker's own runs of such a mechanism are
    #: all alike, and made once. False promises nothing.
    deterministic: ClassVar[bool] = False

    @abstractmethod
    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Makes the published images.

        Args:
            images: (B, 1, H, W) float32 in [0, 1]; not to be changed in place.
            rng: the only source of randomness; a stream an image.

        Returns:
            The same shape, type, range and device.
        """


class CohortDefense(BaseDefense):
    """Needs the whole set that is published, such as k-Same."""

    kind = "cohort"

    @abstractmethod
    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Makes the published images of a whole set.

        Args:
            pixels: (N, H, W); may be memory-mapped and read-only.
            patients: (N,) each image's patient, 0..P-1.
            rng: the only source of randomness, a CPU generator.

        Returns:
            (N, H, W) uint8, row i in place of row i. For the same seed it must not depend on the rows' order.
        """
