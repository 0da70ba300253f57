"""Whether gradients pass through a defense as it declares.

An attacker, or an anonymizer that is trained, may want to differentiate through the mechanism. Through one that is
declared ``differentiable`` and isn't, it would train on nothing, in silence: that is a broken promise. What isn't
declared promises nothing, so nothing is broken where gradients pass all the same; it is only told.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reidbench.conformance.finding import Finding, failed, short
from reidbench.conformance.samples import SEED, Sample, all_kinds, textured
from reidbench.defenses.base import Defense
from reidbench.defenses.random import ReleaseRandom
from reidbench.errors import ReidbenchError
from reidbench.images import to_unit

NAME = "gradient"


def check_gradient(defense: Defense, device: torch.device, samples: Sequence[Sample] | None = None) -> Finding:
    """A finding where ``differentiable`` is declared and no finite gradient passes from the release to the image.

    It must be finite on images of all kinds. It may vanish on black and white ones, which are clipped, and is zero
    rightly where the release doesn't depend on the image, as under a box that covers it.

    Args:
        samples: what to differentiate on; the smallest of all kinds unless given.
    """
    passes, seen = _passes(defense, device, [*all_kinds(1), *textured()] if samples is None else samples)
    if not type(defense).differentiable:
        what = {True: "gradients pass with these options", False: "no gradient passes", None: "there is none to pass"}
        return Finding(NAME, True, f"not declared differentiable; {what[passes]}")
    if passes is False:
        return failed(defense, NAME, f"declared differentiable, but {seen}")
    kept = "finite gradients pass" if passes else "the release doesn't depend on the image, or was refused"
    return Finding(NAME, True, f"declared differentiable; {kept}")


def _passes(defense: Defense, device: torch.device, samples: Sequence[Sample]) -> tuple[bool | None, str]:
    """Whether gradients pass, None where there is nothing to differentiate, and if not, what was seen instead."""
    found: list[bool] = []
    for one in sorted(samples, key=lambda one: one.pixels.size):
        try:
            gradient = _gradient(defense, to_unit(one.pixels, device))
        except ReidbenchError:
            continue
        except Exception as error:
            return False, f"differentiating raised {short(error)}; smallest input: {one}"
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            return False, f"the gradient is NaN or infinite; smallest input: {one}"
        found.append(gradient is not None and bool(gradient.any()) and one.content == "noisy")
    if any(found):
        return True, ""
    for one in (one for one in samples if one.content == "noisy"):
        if _moves(defense, one, device):
            return False, f"the gradient is zero everywhere; smallest input: {one}"
    return None, ""


def _gradient(defense: Defense, images: torch.Tensor) -> torch.Tensor | None:
    """The gradient of a weighted sum of the release; None where it is detached from the images."""
    images.requires_grad_()
    # Weights of both signs: of an image with a fixed mean, a plain sum has no gradient.
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(SEED)).to(images)
    with torch.enable_grad():
        after = _released(defense, images)
        if not after.requires_grad:
            return None
        (gradient,) = torch.autograd.grad((after * weights).sum(), images, allow_unused=True)
    return gradient


def _moves(defense: Defense, one: Sample, device: torch.device) -> bool:
    """Whether a step of one grey level, in the same streams, changes the release."""
    images = to_unit(one.pixels, device)
    try:
        with torch.no_grad():
            first, *others = (_released(defense, (images + step).clamp(0, 1)) for step in (0, 1 / 255, -1 / 255))
    except ReidbenchError:
        return False
    return not all(torch.equal(first, other) for other in others)


def _released(defense: Defense, images: torch.Tensor) -> torch.Tensor:
    return defense.transform(images, rng=ReleaseRandom.for_images(SEED, [str(row) for row in range(len(images))]))
