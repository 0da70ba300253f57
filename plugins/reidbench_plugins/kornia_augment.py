"""Any augmentation of kornia as a defense."""

import difflib
import inspect
from typing import Any

import kornia.augmentation
import torch
from kornia.augmentation import AugmentationBase2D
from kornia.color import rgb_to_grayscale
from pydantic import JsonValue, field_validator, model_validator
from torch import nn

from reidbench import Defense, Field, ReleaseRandom

# Two shapes, since a crop could happen to fit one of them; neither is square.
PROBES = ((40, 56), (48, 80))


class KorniaAugment(Defense):
    """Applies an augmentation of kornia: elastic, affine, erasing, thin-plate spline and some thirty more.

    Each image is warped or changed by its own random draw, fixed by its stream of the release. The augmentation is
    always applied: ``p``, which kornia sets to a half, is 1 unless it is given. What kornia writes past [0, 1] is
    clipped. An augmentation of colour images (``RandomJPEG``, for one) gets three equal channels, and the luma of what
    it makes is taken. Refused are augmentations that change an image's shape, mix images of several patients, or
    change nothing with the given arguments.
    """

    name = "kornia_augment"
    family = "processing"
    operating_points = {
        "mild": {"augmentation": "RandomElasticTransform", "arguments": {"alpha": [2, 2]}},
        "moderate": {"augmentation": "RandomThinPlateSpline", "arguments": {"scale": 0.1}},
        "strong": {"augmentation": "RandomAffine", "arguments": {"degrees": 15, "translate": [0.1, 0.1]}},
        "severe": {"augmentation": "RandomThinPlateSpline", "arguments": {"scale": 0.4}},
    }
    augmentation: str = Field("RandomElasticTransform", description="name of a class in kornia.augmentation")
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="its keyword arguments, in kornia's units; a JSON list stands for a tuple"
    )

    @field_validator("augmentation")
    @classmethod
    def _known(cls, augmentation: str) -> str:
        known = _augmentations()
        if augmentation not in known:
            folded = {name.casefold(): name for name in known}
            near = difflib.get_close_matches(augmentation.casefold(), folded, n=1)
            hint = f"did you mean {folded[near[0]]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"kornia has no augmentation of single images {augmentation!r}: {hint}")
        return augmentation

    @model_validator(mode="after")
    def _usable(self) -> "KorniaAugment":
        p = self.arguments.get("p", 1)
        # JSON's true is a number to Python; kornia takes any other and draws as it may.
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 < p <= 1:
            raise ValueError(f"p={p!r}: a probability above 0 and at most 1 is needed")
        seen = [self._probe(height, width) for height, width in PROBES]
        if not any(seen):
            raise ValueError(f"{self.augmentation} changes nothing with these arguments")
        return self

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns augmented images: (B, 1, H, W)."""
        return rng.seeded(images, self._build()).clamp(0, 1)

    def _build(self, **more: object) -> nn.Module:
        augmentation = self._augmentation(**more)
        return _Luma(augmentation) if _wants_colour(augmentation) else augmentation

    def _augmentation(self, **more: object) -> AugmentationBase2D:
        cls = getattr(kornia.augmentation, self.augmentation)
        given: dict[str, Any] = {key: _tuples(value) for key, value in self.arguments.items()} | more
        if "p" in inspect.signature(cls).parameters:
            given.setdefault("p", 1.0)
        return cls(**given)

    def _probe(self, height: int, width: int) -> bool:
        # Whether it changes a test image that has structure; refused with a reason if it cannot take one.
        ramp = torch.linspace(0.1, 0.9, height * width).view(1, 1, height, width)
        always = {"p": 1.0} if "p" in self.arguments else {}
        streams = ReleaseRandom.for_images(0, [f"probe {number}" for number in range(4)])
        try:
            after = streams.seeded(ramp.repeat(4, 1, 1, 1), self._build(**always))
        except Exception as error:
            reason = str(error).strip().splitlines()
            message = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
            raise ValueError(f"{self.augmentation} fails on a grey {height}×{width} image: {message}") from error
        if after.shape[1:] != ramp.shape[1:]:
            made = "×".join(str(side) for side in after.shape[2:])
            raise ValueError(f"{self.augmentation} changes the shape of an image: {height}×{width} becomes {made}")
        # Less than half a grey level of 255 is rounding: a change of hue leaves that of the luma.
        return bool(((after - ramp).abs() > 0.5 / 255).any())


class _Luma(nn.Module):
    """An augmentation of colour images for grey ones: three equal channels go in, and the luma comes back."""

    def __init__(self, augmentation: nn.Module) -> None:
        super().__init__()
        self.augmentation = augmentation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the same shape."""
        changed: torch.Tensor = rgb_to_grayscale(self.augmentation(images.repeat(1, 3, 1, 1)))
        return changed


def _wants_colour(augmentation: nn.Module) -> bool:
    # kornia says so nowhere: whether it takes one channel is tried, and its draws are given back.
    for channels in (1, 3):
        try:
            with torch.random.fork_rng(devices=[]):
                augmentation(torch.full((1, channels, *PROBES[0]), 0.5))
        except Exception:
            continue
        return channels == 3
    return False


def _augmentations() -> list[str]:
    # Those that mix images are a family of their own in kornia, and no part of this one.
    classes = inspect.getmembers(kornia.augmentation, inspect.isclass)
    return [name for name, cls in classes if issubclass(cls, AugmentationBase2D) and "Base" not in name]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
