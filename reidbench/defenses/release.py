"""The release: what is published, once. And the promises of a plugin, checked where they can break."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.defenses.base import BaseDefense, CohortDefense, Defense
from reidbench.defenses.fingerprint import identity
from reidbench.defenses.random import ReleaseRandom, TrainingRandom, stream_key, torch_seed
from reidbench.errors import PluginError, ReidbenchError
from reidbench.images import BATCH, to_levels, to_pixels, to_unit
from reidbench.progress import Progress, Silent

# Floating-point dust past the range is rounded away with the pixels; more than half a grey level is a mistake.
TOLERANCE = 0.5 / 255


def release(
    defense: BaseDefense,
    pixels: NDArray[np.uint8],
    image_ids: Sequence[str],
    patients: NDArray[np.int64],
    *,
    seed: int,
    draw: int = 0,
    device: torch.device | None = None,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """Publishes images after a defense: one version an image, eight bits, as a file would hold it.

    The randomness comes from (seed, draw, the defense's name and options, image_id); for a :class:`CohortDefense` there
    is one stream for the set. The bytes never depend on batch size, order or device count.

    Args:
        pixels: (N, H, W) uint8 originals.
        image_ids: N identifiers, unique.
        patients: (N,) each image's patient.
        seed: the release seed, 0 or more, of any size. Who knows or guesses it can take the noise away.
        draw: 0 for what is published; other numbers for an attacker's own runs of the mechanism.

    Returns:
        (N, H, W) uint8.

    Raises:
        ReidbenchError: the defense refuses these images, with its reason.
        PluginError: the defense raised, or returned another shape, type or device, values out of [0, 1], or NaN, or
            changed its input; the message begins with its name.
    """
    device = device or torch.device("cpu")
    if isinstance(defense, CohortDefense):
        return _release_cohort(defense, pixels, image_ids, patients, seed=seed, draw=draw)
    if not isinstance(defense, Defense):
        raise PluginError(f"{defense.name}: a defense of kind {defense.kind!r} publishes no images")
    who = identity(defense)
    out = np.empty_like(pixels)
    with (progress or Silent()).task(f"release {defense.name}", len(pixels)) as advance:
        for start in range(0, len(pixels), batch_size):
            stop = min(start + batch_size, len(pixels))
            rng = ReleaseRandom.for_images(seed, image_ids[start:stop], draw, defense=who)
            out[start:stop] = to_pixels(apply(defense, to_unit(pixels[start:stop], device), rng))
            advance(stop - start)
    return out


def apply(defense: Defense, images: torch.Tensor, rng: ReleaseRandom) -> torch.Tensor:
    """Runs a defense on one batch and checks what it promised.

    Args:
        images: (B, 1, H, W) float32 in [0, 1].

    Raises:
        PluginError: as in :func:`release`.
    """
    before = images.clone()
    try:
        with torch.no_grad():
            after = defense.transform(images, rng=rng)
    except ReidbenchError as error:
        raise ReidbenchError(f"{defense.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{defense.name}: transform() raised {type(error).__name__}: {error}") from error
    if not isinstance(after, torch.Tensor):
        raise PluginError(f"{defense.name}: transform() returned {type(after).__name__}, not a tensor")
    if after.shape != before.shape:
        raise PluginError(f"{defense.name}: transform() made shape {tuple(after.shape)} of {tuple(before.shape)}")
    if after.dtype != before.dtype:
        raise PluginError(f"{defense.name}: transform() returned {after.dtype}, not {before.dtype}")
    if after.device != before.device:
        raise PluginError(f"{defense.name}: transform() returned images on {after.device}, not on {before.device}")
    if not torch.equal(images, before):
        raise PluginError(f"{defense.name}: transform() changed its input in place")
    if after.numel():
        low, high = (float(value) for value in torch.aminmax(after))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise PluginError(f"{defense.name}: transform() returned NaN or infinite values")
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise PluginError(
                f"{defense.name}: transform() returned values from {low:.4g} to {high:.4g}, not in [0, 1]"
            )
    return after


def draw_batch(defense: Defense, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An attacker's own run of the mechanism on a batch, rounded to grey levels as a release is."""
    return to_levels(apply(defense, images, TrainingRandom(generator, len(images))))


def _release_cohort(
    defense: CohortDefense,
    pixels: NDArray[np.uint8],
    image_ids: Sequence[str],
    patients: NDArray[np.int64],
    *,
    seed: int,
    draw: int,
) -> NDArray[np.uint8]:
    # In the order of the identifiers, and patients numbered in it, so that a plugin which looks at positions or numbers
    # cannot make the release depend on how the table was sorted.
    order = np.argsort(np.asarray(image_ids, dtype=str), kind="stable")
    _, first, inverse = np.unique(patients[order], return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    key = stream_key(seed, draw, identity(defense), purpose="cohort")
    generator = torch.Generator().manual_seed(torch_seed(key))
    ordered = np.ascontiguousarray(pixels[order])
    # A digest, since a second copy of a large cohort may not fit.
    before = hashlib.blake2b(ordered.data).digest()
    try:
        after = defense.transform_cohort(ordered, numbers, rng=generator)
    except ReidbenchError as error:
        raise ReidbenchError(f"{defense.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{defense.name}: transform_cohort() raised {type(error).__name__}: {error}") from error
    if not isinstance(after, np.ndarray) or after.shape != pixels.shape or after.dtype != np.uint8:
        made = f"{after.dtype} {after.shape}" if isinstance(after, np.ndarray) else type(after).__name__
        raise PluginError(f"{defense.name}: transform_cohort() made {made}, not uint8 {pixels.shape}")
    if hashlib.blake2b(ordered.data).digest() != before:
        raise PluginError(f"{defense.name}: transform_cohort() changed its input in place")
    out = np.empty_like(pixels)
    out[order] = after
    return out
