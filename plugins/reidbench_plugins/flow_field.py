"""A learned deformation."""

from typing import Literal

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import nn

from reidbench import Field
from reidbench_plugins._adversaries import PUBLISHED, AdversarialDefense
from reidbench_plugins._unet import UNet

KERNEL, SIGMA = 9, 2.0


class FlowField(AdversarialDefense):
    """Deforms an image so that a verifier fails to recognize the patient and a classifier still finds what it shows.

    PriCheXy-Net of Packhäuser et al., "Deep learning-based anonymization of chest radiographs" (2023): a U-Net predicts
    a flow field F in [−1, 1]², scaled by mu and smoothed by a Gaussian of 9 × 9 pixels and sigma 2; it leads to where
    the image is sampled. The U-Net is trained on the train split against a siamese verifier and for a classifier of the
    findings, with equal weights; both are updated with it, begin anew for each training, and judge nothing.

    The authors smooth the sampling grid itself with zeros beyond the border, which drags the border inwards even at
    mu = 0. Here the displacement is smoothed and continued beyond the border, so that mu = 0 changes nothing;
    ``border="published"`` does as they did. Their settings are the operating point ``published``: 32 features, batches
    of 64, Adam at 1e-4, a ResNet-50 verifier and a DenseNet-121 classifier from ImageNet weights, 256² images and up to
    250 passes over 10,000 pairs, which are about 32 over ChestX-ray14's training images. That wants a GPU. What differs
    from them all the same: they train the classifier by SGD, load verifier, classifier and generator pre-trained, draw
    listed pairs, and keep the generator of the lowest validation loss; here the classifier has Adam too, a warm-up
    takes the place of pre-training, all pairs of a batch are used, and the last generator is kept. All other
    points are trained in minutes on two CPU cores at 64². With mu = 0.01 they report a verification AUC of 57.7 ± 4.0
    after re-training (81.8 before) and a mean AUC of the findings of 76.2 (80.5).

    No formal guarantee. The release is a fixed function of the image: anyone with the network can apply it.
    """

    name = "flow_field"
    family = "adversarial"
    operating_points = {
        "mild": {"mu": 0.005},
        "moderate": {"mu": 0.01},
        "strong": {"mu": 0.03},
        "severe": {"mu": 0.1},
        "published": {
            "mu": 0.01,
            "border": "published",
            "features": 32,
            **PUBLISHED,
        },
    }
    mu: float = Field(
        0.01, ge=0, le=0.5, description="largest displacement, in halves of the image's side; 0 changes nothing"
    )
    border: Literal["kept", "published"] = Field(
        "kept", description="how the flow is smoothed at the border: kept as it is, or dragged inwards as published"
    )
    features: int = Field(8, ge=1, le=128, description="channels of the U-Net's first scale; published: 32")

    def build(self) -> nn.Module:
        """The U-Net that predicts the flow: (B, 1, H, W) to (B, 2, H, W) in [−1, 1]."""
        return UNet(2, self.features, 4, nn.Tanh())

    def anonymize(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Deforms images: (B, 1, H, W)."""
        displacement = -self.mu * network(images)
        grid = _identity(images)
        if self.border == "published":
            grid = _smooth(grid + displacement, "constant")
        else:
            grid = grid + _smooth(displacement, "replicate")
        return F.grid_sample(images, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=True)


def _identity(images: torch.Tensor) -> torch.Tensor:
    """Where each pixel is, x before y, from −1 to 1 between the centres of the outermost: (1, 2, H, W)."""
    height, width = images.shape[-2:]
    y, x = (torch.linspace(-1, 1, length, device=images.device, dtype=images.dtype) for length in (height, width))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def _smooth(flow: torch.Tensor, beyond: str) -> torch.Tensor:
    return gaussian_blur2d(flow, (KERNEL, KERNEL), (SIGMA, SIGMA), border_type=beyond)
