"""Siamese Grad-CAM: where in both images of a pair a network finds what speaks for one patient.

Grad-CAM (Selvaraju et al. 2017) of the pair's score: the activations of a layer, each channel weighted by its mean
gradient, summed, negative values cut. Both images go through the shared network as one batch, so that one score has
activations and gradients in both.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional


def convolutions(network: nn.Module, images: torch.Tensor) -> dict[str, nn.Conv2d]:
    """The convolutions that look at more than one pixel, by name, in the order in which images pass them.

    Args:
        network: in evaluation mode.
        images: (B, 1, H, W) in [0, 1], to see the order with.
    """
    passed: dict[str, nn.Conv2d] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
            hooks.append(module.register_forward_hook(lambda m, i, o, name=name: passed.setdefault(name, m) and None))
    try:
        # Without gradients a norm is made part of its convolution, past both modules.
        with torch.enable_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return passed


def first_and_middle(layers: dict[str, nn.Conv2d]) -> dict[str, nn.Conv2d]:
    """The first convolution and the one half-way to the last; one where there is only one."""
    names = list(layers)
    return {name: layers[name] for name in dict.fromkeys([*names[:1], *names[len(names) // 2 :][:1]])}


def siamese_cam(score: Callable[[torch.Tensor], torch.Tensor], layer: nn.Module, pair: torch.Tensor) -> torch.Tensor:
    """Both images' maps at one layer.

    Args:
        score: from a pair (2, 1, H, W) to its score (1,), through ``layer`` once.
        layer: gives (2, channels, h, w).
        pair: (2, 1, H, W) in [0, 1].

    Returns:
        (2, H, W), at least 0, enlarged bilinearly, in units of score: comparable between both images and between
        pairs, but not between layers. Zero where the score has no gradient, as for two identical images under a
        distance.
    """
    # It imports matplotlib, which takes a second that nothing else here needs.
    from captum.attr import LayerGradCam

    maps: torch.Tensor = LayerGradCam(score, layer).attribute(pair, relu_attributions=True)
    large = functional.interpolate(maps, size=pair.shape[-2:], mode="bilinear", align_corners=False)
    return torch.nan_to_num(large.detach()[:, 0])
