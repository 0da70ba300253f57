"""Backbones by name: the small residual network, any convolutional network of torchvision, or any of timm.

A backbone takes (B, 1, H, W) images in [0, 1] and gives a feature map (B, channels, h, w).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.networks.architectures.residual import SmallResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: torchvision's name for a network's first ImageNet weights, in ours.
FIRST = "imagenet_v1"
_SMALL = re.compile(r"resnet_small(?:_(?P<width>\d+)(?:x(?P<blocks>\d+))?)?")


#: Added to an image's standard deviation: a constant image becomes zeros, and faint noise isn't blown up to full range.
FLAT = 0.02


class Backbone(nn.Module):
    """Normalizes a grey image, and maps it.

    Networks for colour get three equal channels, normalized as ImageNet's were. The small network gets each image
    with its own mean and deviation taken out: exposure is the visit's, not the patient's.

    Attributes:
        channels: of the feature map.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        *,
        colour: bool,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.features = features
        self.channels = channels
        self.colour = colour
        # Constants, not weights: they belong to no weights file.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, channels, h, w)."""
        normalized = (images - self.mean) / self.std if self.colour else standardized(images)
        features: torch.Tensor = self.features(normalized.contiguous(memory_format=torch.channels_last))
        return features


def standardized(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W), each image with its own mean taken out, and divided by its own deviation (and ``FLAT``).

    With its mean the norm takes a ninth of the time of ``torch.std_mean``, which updates both as it goes. Of an image
    that is the same everywhere its gradient is 0, where that of a square root would be infinite.
    """
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    deviation = torch.linalg.vector_norm(centred, dim=(1, 2, 3), keepdim=True) / images[0].numel() ** 0.5
    return centred / (deviation + FLAT)


def build_backbone(name: str, weights: str = "random") -> Backbone:
    """A backbone by name, in channels-last memory.

    Args:
        name: ``resnet_small``, ``resnet_small_WIDTH`` or ``resnet_small_WIDTHxBLOCKS``; the name of a convolutional
            network of torchvision (``resnet50``, ``convnext_tiny``, …); or ``timm:NAME``.
        weights: ``random``; ``imagenet``, the library's own, which it downloads; ``imagenet_v1``, torchvision's first
            ones, which papers until 2021 began with; or a path to a file of the whole
            network's state (``.safetensors``, or what ``torch.save`` wrote), read strictly.

    Raises:
        ReidbenchError: the name is unknown, or the weights cannot be had.
    """
    small = _SMALL.fullmatch(name)
    if small:
        if weights != "random":
            raise ReidbenchError(
                f"backbone {name}: only random weights exist, not {weights!r}; attackers that were trained before are "
                "taken from a bundle (--attackers)"
            )
        network = SmallResNet(int(small["width"] or 16), int(small["blocks"] or 1))
        backbone = Backbone(network, network.channels, colour=False)
    elif name.startswith("timm:"):
        backbone = _timm(name.removeprefix("timm:"), weights)
    else:
        backbone = _torchvision(name, weights)
    return backbone.to(memory_format=torch.channels_last)


def _torchvision(name: str, weights: str) -> Backbone:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ReidbenchError(f"unknown backbone {name!r}: {did_you_mean(name, [*known, 'resnet_small'])}")
    chosen: Any = None
    if weights == "imagenet":
        chosen = models.get_model_weights(name).DEFAULT
    elif weights == FIRST:
        chosen = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        network = models.get_model(name, weights=chosen)
    except OSError as error:
        raise _no_imagenet(name, error) from error
    if weights not in ("random", "imagenet", FIRST):
        _read(network, Path(weights), name)
    return _headless(network, name)


def _headless(network: nn.Module, name: str) -> Backbone:
    if hasattr(network, "layer4"):
        stages = list(network.children())[:-2]
        features: nn.Module = nn.Sequential(*stages)
    elif isinstance(getattr(network, "features", None), nn.Module):
        features = network.features  # type: ignore[assignment]
    else:
        raise ReidbenchError(f"backbone {name}: it gives no feature map; take a convolutional one such as resnet50")
    return Backbone(features, _channels(features, name), colour=True)


def _channels(features: nn.Module, name: str) -> int:
    """Channels of the feature map (B, C, h, w) that it gives.

    Raises:
        ReidbenchError: it gives no such map, as transformers don't.
    """
    no_map = f"backbone {name}: it gives no feature map; take a convolutional one such as resnet50"
    features.eval()
    try:
        with torch.no_grad():
            # Large enough for the deepest of them.
            shape = features(torch.zeros(1, 3, 224, 224)).shape
    except (AssertionError, RuntimeError) as error:
        raise ReidbenchError(f"{no_map} ({' '.join(str(error).split())[:120]})") from error
    features.train()
    if len(shape) != 4 or shape[1] < shape[3]:
        raise ReidbenchError(no_map)
    return int(shape[1])


def _timm(name: str, weights: str) -> Backbone:
    try:
        import timm
    except ImportError as error:
        raise ReidbenchError(f"backbone timm:{name}: timm is not installed (pip install 'reidbench[timm]')") from error
    network: Any
    try:
        network = timm.create_model(name, pretrained=weights == "imagenet")
    except (OSError, RuntimeError) as error:
        if weights != "imagenet" or name not in timm.list_models():
            hint = did_you_mean(name, timm.list_models())
            raise ReidbenchError(f"unknown backbone 'timm:{name}': {hint}") from error
        raise _no_imagenet(f"timm:{name}", error) from error
    if weights not in ("random", "imagenet"):
        # Before the classifier goes: a file is of the whole network.
        _read(network, Path(weights), f"timm:{name}")
    network.reset_classifier(0, global_pool="")
    config = network.pretrained_cfg
    channels = _channels(network, f"timm:{name}")
    return Backbone(network, channels, colour=True, mean=config["mean"], std=config["std"])


def _no_imagenet(name: str, error: Exception) -> ReidbenchError:
    return ReidbenchError(
        f"backbone {name}: its ImageNet weights cannot be downloaded ({error}); give a path to a weights file "
        f"(weights=FILE), or weights=random"
    )


def _read(network: nn.Module, path: Path, name: str) -> None:
    if not path.is_file():
        raise ReidbenchError(f"backbone {name}: no weights file {path}")
    try:
        state = _state(path)
    except Exception as error:
        # What torch says of damage is a number, nothing, or advice to load it with the code that it may contain.
        raise ReidbenchError(
            f"backbone {name}: {path} does not hold its weights: it is damaged, or holds more than tensors"
        ) from error
    try:
        network.load_state_dict(state, strict=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ReidbenchError(f"backbone {name}: {path} does not hold its weights: {reason}") from error


def _state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings():
        # Of a pickle that is not torch's own; it is refused, or loads as well as any.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)
