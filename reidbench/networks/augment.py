"""Random changes of pose and exposure, drawn for each image on the images' own device."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional

from reidbench.networks.degrade import degraded
from reidbench.networks.precision import in_full


class Augmentation(BaseModel):
    """How far an image may be moved and its intensities changed. A visit of the same patient differs in just these.

    Each strength is the half-width of a uniform distribution; 0 turns its change off. No mirroring: the heart's side
    is a patient's own. One resampling does all of the pose: at 64² on a CPU all changes cost about a twentieth of a
    training step, where a chain of general-purpose transforms costs a fifth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rotation: float = Field(3.5, ge=0, le=180, description="degrees")
    shift: float = Field(0.025, ge=0, le=0.5, description="share of the width and of the height")
    scale: float = Field(0.05, ge=0, le=1, description="log of the zoom")
    aspect: float = Field(0.025, ge=0, le=1, description="log of the stretch of width over height")
    gamma: float = Field(0.3, ge=0, le=2, description="log of the exponent on intensities")
    contrast: float = Field(0.3, ge=0, le=2, description="log of the factor about mid-grey")
    brightness: float = Field(0.15, ge=0, le=1, description="offset, in units of the [0, 1] range")
    erase: float = Field(0.0, ge=0, le=1, description="chance that a rectangle is painted mid-grey")
    degrade: float = Field(
        0.0,
        ge=0,
        le=1,
        description="chance that noise, blur, JPEG 10 to 95 or coarse pixels of a random strength change an image, as "
        "simple defenses do",
    )

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changed copies of (B, 1, H, W) images in [0, 1]; the intensities may leave [0, 1] a little.

        ``generator`` must live on the images' device; each image gets draws of its own.
        """
        draw = _Draw(len(images), images.device, generator)
        with in_full(images.device):
            changed = self._pose(images, draw)
            if self.gamma:
                # A power, in a third of its time.
                changed = changed.clamp(1e-4, 1).log_().mul_(torch.exp(draw(self.gamma))).exp_()
            factor, offset = torch.exp(draw(self.contrast)), draw(self.brightness)
            changed = changed * factor + (0.5 - 0.5 * factor + offset)
            changed = degraded(changed, self.degrade, draw.uniform) if self.degrade else changed
            return self._erase(changed, draw) if self.erase else changed

    def _pose(self, images: torch.Tensor, draw: _Draw) -> torch.Tensor:
        if not len(images) or not (self.rotation or self.shift or self.scale or self.aspect):
            return images
        angle = torch.deg2rad(draw(self.rotation)).flatten()
        zoom = torch.exp(draw(self.scale)).flatten()
        stretch = torch.exp(draw(self.aspect)).flatten()
        # Shares of the width, in the [-1, 1] coordinates of the grid.
        across, down = 2 * draw(self.shift).flatten(), 2 * draw(self.shift).flatten()
        # Columns of the affine map, (B, 2): of x, of y, and the shift.
        of_x = torch.stack([zoom * stretch * angle.cos(), zoom * angle.sin()], dim=1)
        of_y = torch.stack([-zoom * angle.sin(), zoom / stretch * angle.cos()], dim=1)
        shift = torch.stack([across, down], dim=1)
        height, width = images.shape[-2:]
        # The centres of pixels in [-1, 1], as affine_grid has them, whose product of matrices takes four times as long.
        x = _centres(width, images.device)[:, None] * of_x[:, None]
        y = _centres(height, images.device)[:, None] * of_y[:, None] + shift[:, None]
        grid = (x[:, None] + y[:, :, None]).to(images.dtype)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _erase(self, images: torch.Tensor, draw: _Draw) -> torch.Tensor:
        height, width = images.shape[-2:]
        inside = _strip(height, draw, images.device).unsqueeze(2) & _strip(width, draw, images.device).unsqueeze(1)
        chosen = draw.unit() < self.erase
        return torch.where(chosen & inside.unsqueeze(1), torch.full_like(images, 0.5), images)


def moved(images: torch.Tensor, pixels: int) -> list[torch.Tensor]:
    """Copies of (B, 1, H, W) images moved left, right, up and down by so many pixels; the border is repeated."""
    height, width = images.shape[-2:]
    padded = functional.pad(images, (pixels,) * 4, mode="replicate")
    corners = [(pixels, 2 * pixels), (pixels, 0), (2 * pixels, pixels), (0, pixels)]
    return [padded[..., top : top + height, left : left + width] for top, left in corners]


class _Draw:
    """Uniform draws for each image of a batch, (B, 1, 1, 1), from one generator."""

    def __init__(self, count: int, device: torch.device, generator: torch.Generator) -> None:
        self._shape = (count, 1, 1, 1)
        self._device = device
        self._generator = generator

    def unit(self) -> torch.Tensor:
        """Uniform in [0, 1)."""
        return self.uniform(self._shape)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Uniform in [0, 1), of any shape."""
        return torch.rand(shape, generator=self._generator, device=self._device)

    def __call__(self, half_width: float) -> torch.Tensor:
        """Uniform in [-half_width, half_width)."""
        return (2 * self.unit() - 1) * half_width


def _centres(count: int, device: torch.device) -> torch.Tensor:
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def _strip(length: int, draw: _Draw, device: torch.device) -> torch.Tensor:
    # (B, length) bool: a stretch of a tenth to four tenths of the length, about a centre anywhere.
    centre = draw.unit().view(-1, 1) * length
    half = (0.1 + 0.3 * draw.unit().view(-1, 1)) * length / 2
    return (torch.arange(length, device=device) + 0.5 - centre).abs() < half
