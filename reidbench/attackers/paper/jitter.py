"""Random brightness and contrast, each image by its own draw."""

from __future__ import annotations

import torch


def jitter(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Colour jitter of grey images, as torchvision's ``ColorJitter(brightness=strength, contrast=strength)``.

    Brightness multiplies by a factor; contrast moves away from or towards the image's mean by another; both are uniform
    in [1 − strength, 1 + strength], in an order that is drawn too, and clipped to [0, 1] after each.

    Args:
        images: (B, 1, H, W) in [0, 1].
        strength: in [0, 1]; 0 changes nothing.
        generator: on the images' device.
    """
    if not strength:
        return images
    draws = torch.rand((3, len(images), 1, 1, 1), generator=generator, device=images.device)
    brightness, contrast = 1 + strength * (2 * draws[:2] - 1)
    brightened = _contrasted((images * brightness).clamp(0, 1), contrast)
    contrasted = (_contrasted(images, contrast) * brightness).clamp(0, 1)
    return torch.where(draws[2] < 0.5, brightened, contrasted)


def _contrasted(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)
