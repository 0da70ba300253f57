"""One scale of grey for all images."""

from typing import Literal

import kornia.enhance
import torch

from reidbench import Defense, Field, ReidbenchError, ReleaseRandom


class IntensityNormalize(Defense):
    """Normalizes grey levels image by image: windowing and exposure no longer tell a device or a patient.

    ``percentile`` stretches linearly between two percentiles of the image and clips; ``histogram`` equalizes its
    histogram; ``clahe`` equalizes tile by tile with limited contrast (Zuiderveld, 1994; kornia's implementation). A
    constant image has no scale and stays as it is under the first two. It does not hide anatomy, and has no formal
    guarantee.
    """

    name = "intensity_normalize"
    family = "processing"
    operating_points = {
        "mild": {"method": "percentile"},
        "moderate": {"method": "clahe"},
        "severe": {"method": "histogram"},
    }
    method: Literal["percentile", "histogram", "clahe"] = Field("percentile", description="how levels are normalized")
    low: float = Field(1.0, ge=0, le=49, description="for percentile: the percentile that becomes black")
    high: float = Field(99.0, ge=51, le=100, description="for percentile: the percentile that becomes white")
    clip_limit: float = Field(
        2.0, ge=1, le=40, description="for clahe: a bin's largest count, relative to the mean count"
    )
    tiles: int = Field(8, ge=2, le=16, description="for clahe: tiles along the height, and along the width")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns normalized images: (B, 1, H, W).

        Raises:
            ReidbenchError: with ``clahe``, a side has no more pixels than tiles.
        """
        if self.method == "percentile":
            return self._stretched(images)
        if self.method == "histogram":
            return kornia.enhance.equalize(images).clamp(0, 1)
        height, width = images.shape[-2:]
        if min(height, width) <= self.tiles:
            raise ReidbenchError(f"tiles={self.tiles} needs more than that many pixels a side, not {height}×{width}")
        return kornia.enhance.equalize_clahe(images, self.clip_limit, (self.tiles, self.tiles)).clamp(0, 1)

    def _stretched(self, images: torch.Tensor) -> torch.Tensor:
        levels = images.flatten(1)
        black = _ranked(levels, self.low).view(-1, 1, 1, 1)
        white = _ranked(levels, self.high).view(-1, 1, 1, 1)
        flat = white <= black
        stretched = (images - black) / torch.where(flat, 1.0, white - black)
        return torch.where(flat, images, stretched.clamp(0, 1))


def _ranked(levels: torch.Tensor, percentile: float) -> torch.Tensor:
    # A level that occurs, by nearest rank: (B,) of (B, H·W).
    return levels.kthvalue(1 + round(percentile / 100 * (levels.shape[1] - 1)), dim=1).values
