"""How large images and sets must be before a defense takes them.

Small ones are tried first, since a check is to take seconds. A defense may need more, and says so with its
``ReidbenchError``: it is then checked on the smallest that it takes. One that takes none of them fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from reidbench.conformance.finding import first_line
from reidbench.conformance.samples import SIDE, Sample, publish, sample, shapes, uneven
from reidbench.defenses.base import BaseDefense, CohortDefense
from reidbench.errors import PluginError, ReidbenchError

Made = TypeVar("Made")

PATIENTS = 12


@dataclass(frozen=True)
class Scale:
    """What a defense is tried on.

    Attributes:
        patients: how many there are in a set.
        side: the smallest height and width of images, in pixels.
        refusal: what the defense said of less; empty if it takes the smallest.
    """

    patients: int = PATIENTS
    side: int = SIDE
    refusal: str = ""

    @property
    def why(self) -> str:
        """For a finding: why not less; empty for the smallest."""
        return f"less is refused: {self.refusal}" if self.refusal else ""

    def __str__(self) -> str:
        return f"{self.patients} patients with images of {self.side}×{self.side}"


SMALLEST = Scale()
# Also the sizes that networks are most often made for.
IMAGES = tuple(Scale(side=side) for side in (SIDE, 64, 96, 128, 224, 256))
# Fewer, since a set may first have to be trained on.
_SETS = ((PATIENTS, SIDE), (24, SIDE), (48, SIDE), (12, 96), (48, 96), (12, 128), (48, 128), (48, 256))
SETS = tuple(Scale(patients, side) for patients, side in _SETS)


def choose_scale(defense: BaseDefense, device: torch.device) -> Scale:
    """The smallest scale at which an image or cohort defense takes most kinds of shapes and sets.

    Raises:
        ReidbenchError: it takes nothing, at no scale; with its reason.
    """
    sets = isinstance(defense, CohortDefense)
    reason, best, most = "", SMALLEST, 0
    for scale in SETS if sets else IMAGES:
        tried = list(_sets(scale) if sets else _images(scale))
        refusals = [said for one in tried if (said := refusal(defense, one, device)) is not None]
        if scale == SMALLEST and refusals:
            reason = refusals[0]
        if len(tried) - len(refusals) > most:
            best, most = replace(scale, refusal="" if scale == SMALLEST else reason), len(tried) - len(refusals)
        if not refusals:
            break
    if not most:
        last = SETS[-1] if sets else IMAGES[-1]
        what = f"all sets, from {SMALLEST} to {last}" if sets else f"all images, of {SIDE} to {last.side} pixels a side"
        raise ReidbenchError(f"it refuses {what}: {reason}")
    return best


def smallest(defense: BaseDefense, train: Callable[[Scale], Made]) -> tuple[Scale, Made]:
    """The smallest set that a training takes, and what came of it.

    Raises:
        ReidbenchError: it refuses all; with what it said of the smallest.
        PluginError: it broke on one.
    """
    reason = ""
    for scale in SETS:
        try:
            return replace(scale, refusal=reason), train(scale)
        except PluginError:
            raise
        except ReidbenchError as error:
            reason = reason or _reason(defense, error)
    raise ReidbenchError(f"it refuses all sets, from {SMALLEST} to {SETS[-1]}: {reason}")


def refusal(defense: BaseDefense, images: Sample, device: torch.device) -> str | None:
    """With what words a defense refuses these images; None if it doesn't, and if it breaks on them."""
    try:
        publish(defense, images, device)
    except PluginError:
        return None
    except ReidbenchError as error:
        return _reason(defense, error)
    return None


def _reason(defense: BaseDefense, error: ReidbenchError) -> str:
    # Never empty, since a scale with a reason is one that is not the smallest.
    return first_line(error).removeprefix(f"{defense.name}: ").strip() or "no reason was given"


def _images(scale: Scale) -> Iterable[Sample]:
    return (sample("noisy", 2, *shape) for shape in shapes(scale.side))


def _sets(scale: Scale) -> Iterable[Sample]:
    yield from (sample("noisy", 2 * scale.patients, *shape) for shape in shapes(scale.side))
    yield uneven("noisy", scale.patients, scale.side, scale.side)
