"""A convolution with the batch norm behind it: two passes in training, and one afterwards."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def normed(images: torch.Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, halved: bool = False) -> torch.Tensor:
    """(B, C, H, W) through both, the result free to be changed in place.

    In training the norm takes its mean and deviation from the batch. Afterwards both are constants, and the norm is a
    factor and an offset of the convolution: one pass over the map in place of two, equal but for rounding. So it is
    made where no gradient is asked for; Grad-CAM and its like look at the modules themselves.

    Args:
        halved: images are first averaged over squares of two by two pixels, as by ``nn.AvgPool2d(2, ceil_mode=True)``;
            the convolution is then of one pixel, without stride or padding.
    """
    if norm.training or torch.is_grad_enabled():
        seen = functional.avg_pool2d(images, 2, ceil_mode=True) if halved else images
        found: torch.Tensor = norm(convolution(seen))
        return found
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    factor = norm.weight * (variance + norm.eps).rsqrt()
    weight, stride = convolution.weight * factor[:, None, None, None], convolution.stride
    offset = norm.bias + ((0 if convolution.bias is None else convolution.bias) - mean) * factor
    if halved and any(side % 2 for side in images.shape[-2:]):
        images = functional.avg_pool2d(images, 2, ceil_mode=True)
    elif halved:
        # The mean of a square and its projection in one convolution, which costs less than a pooling.
        weight, stride = (weight / 4).expand(-1, -1, 2, 2), (2, 2)
    return functional.conv2d(images, weight, offset, stride, convolution.padding)
