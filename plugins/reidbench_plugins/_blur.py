"""A Gaussian blur that is the same to the last grey level whatever the batch."""

import torch


def gaussian(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blurs (B, 1, H, W) images with a Gaussian of ``sigma`` pixels, cut off at 4 sigma; edge pixels are repeated.

    Float32 convolutions choose their algorithm, and with it their rounding, by the batch's size. In float64 what is
    left of that is far below a grey level. And since a float64 convolution is slow on CPUs, each axis is one product
    with a banded matrix, whose cost doesn't grow with sigma.
    """
    rows = _matrix(images.shape[-2], sigma, images.device)
    columns = _matrix(images.shape[-1], sigma, images.device)
    return (rows @ (images.double() @ columns.T)).to(images.dtype)


def _matrix(length: int, sigma: float, device: torch.device) -> torch.Tensor:
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights /= weights.sum()
    sources = (torch.arange(length)[:, None] + offsets).clamp(0, length - 1)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, weights.repeat(length, 1)).to(device)
