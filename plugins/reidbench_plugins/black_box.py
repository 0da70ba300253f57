"""Boxes over parts of the image."""

import math
from typing import Literal

import torch
from pydantic import field_validator, model_validator

from reidbench import Defense, Field, ReleaseRandom

Region = tuple[float, float, float, float]


class BlackBox(Defense):
    """Covers the corners, the border or given regions with boxes, as is done to burnt-in text.

    ChestX-ray14 itself was published with such boxes. Regions are relative, so that they mean the same at every size
    and shape; a pixel that a box touches is covered. Everything else is published as it is.
    """

    name = "black_box"
    family = "processing"
    differentiable = True
    operating_points = {
        "mild": {"where": "corners", "size": 0.1},
        "moderate": {"where": "corners", "size": 0.25},
        "strong": {"where": "border", "size": 0.15},
        "severe": {"where": "border", "size": 0.3},
    }
    where: Literal["corners", "border", "regions"] = Field("corners", description="what is covered")
    size: float = Field(
        0.15,
        ge=0.01,
        le=0.5,
        description="for corners and border: extent of a box, as a share of the image's height or width",
    )
    regions: tuple[Region, ...] = Field(
        (), description="for regions: boxes [top, left, height, width], each a share of the image's height or width"
    )
    value: float = Field(0.0, ge=0, le=1, description="grey level of the boxes, in units of the [0, 1] range")

    @field_validator("regions")
    @classmethod
    def _inside(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        for region in regions:
            top, left, height, width = region
            if not (0 <= top < 1 and 0 <= left < 1 and 0 < height <= 1 and 0 < width <= 1):
                raise ValueError(f"{list(region)}: top and left must be in [0, 1), height and width in (0, 1]")
        return regions

    @model_validator(mode="after")
    def _complete(self) -> "BlackBox":
        if (self.where == "regions") != bool(self.regions):
            raise ValueError('where="regions" needs regions, and regions need where="regions"')
        return self

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns images with boxes: (B, 1, H, W)."""
        height, width = images.shape[-2:]
        covered = images.clone()
        for top, left, tall, wide in self.boxes():
            rows = _pixels(top, tall, height)
            columns = _pixels(left, wide, width)
            covered[..., rows, columns] = self.value
        return covered

    def boxes(self) -> tuple[Region, ...]:
        """What is covered, as (top, left, height, width) in shares of the image's height and width."""
        far = 1 - self.size
        if self.where == "corners":
            return tuple((top, left, self.size, self.size) for top in (0, far) for left in (0, far))
        if self.where == "border":
            along = ((start, 0, self.size, 1) for start in (0, far))
            across = ((0, start, 1, self.size) for start in (0, far))
            return (*along, *across)
        return self.regions


def _pixels(start: float, extent: float, length: int) -> slice:
    # Rounded to a millionth of a pixel first, so that 0.1 of 30 pixels are three and not four.
    first = math.floor(round(start * length, 6))
    return slice(first, max(first + 1, math.ceil(round((start + extent) * length, 6))))
