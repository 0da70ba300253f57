"""Whether a defense keeps something from one release to the next.

A counter, the last batch, a running mean: then what is published of an image depends on what was published before,
which no record tells, and which leaks one patient into another's image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from reidbench.conformance.finding import Finding, failed, first_line
from reidbench.conformance.samples import SEED, Sample, difference, publish
from reidbench.defenses.base import BaseDefense, Defense
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.defenses.release import draw_batch
from reidbench.errors import PluginError, ReidbenchError
from reidbench.images import to_unit

NAME = "state"
Maker = Callable[[], BaseDefense]


def maker(defense: BaseDefense, options: Mapping[str, Any], device: torch.device) -> Maker:
    """Makes instances of a defense, with its options, that have published nothing.

    Args:
        defense: one that has published nothing yet, since what its network keeps is copied now.
    """
    cls = type(defense)
    if not isinstance(defense, BaseFittedDefense):
        return lambda: cls(**options)
    network = copy.deepcopy(defense.network)

    def fitted() -> BaseDefense:
        new = cls(**options)
        assert isinstance(new, BaseFittedDefense)
        return new.fitted(copy.deepcopy(network), device)

    return fitted


def check_state(
    defense: BaseDefense, fresh: Maker, images: Sample, others: Sequence[Sample], device: torch.device
) -> Finding:
    """The same bytes after every one of the others, and from an instance that has published nothing.

    Args:
        fresh: from :func:`maker`.
        images: what it took before.
        others: what is published in between; of those that it refuses it can keep nothing.
    """
    try:
        seen = _seen(defense, fresh, images, others, device)
    except Exception as error:
        seen = f"{first_line(error).removeprefix(f'{defense.name}: ')}, where other releases lie in between"
    if seen:
        return failed(defense, NAME, f"{seen}; input: {images}")
    return Finding(NAME, True, "none is kept: after other releases, and from a fresh instance, the same")


def _seen(defense: BaseDefense, fresh: Maker, images: Sample, others: Sequence[Sample], device: torch.device) -> str:
    first = publish(defense, images, device)
    for other in others:
        _use(defense, other, device)
        if seen := difference(publish(defense, images, device), first):
            return f"{seen} after a release of {other}"
    # With the seed that it has seen, and with one that is new to it: it may keep what it made of these very images.
    for seed in (SEED, SEED + 2):
        if seen := difference(publish(defense, images, device, seed=seed), publish(fresh(), images, device, seed=seed)):
            return f"{seen} between a used instance and a fresh one"
    return ""


def _use(defense: BaseDefense, images: Sample, device: torch.device) -> None:
    try:
        publish(defense, images, device, seed=SEED + 1)
        if isinstance(defense, Defense):
            draw_batch(defense, to_unit(images.pixels, device), torch.Generator().manual_seed(SEED))
    except PluginError:
        raise
    except ReidbenchError:
        return  # Refused: then there is nothing that it could keep of them.
