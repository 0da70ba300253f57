"""Images drawn anew by a network."""

import torch
from torch import nn

from reidbench import Field
from reidbench_plugins._adversaries import PUBLISHED, AdversarialDefense
from reidbench_plugins._unet import UNet


class PrivacyNet(AdversarialDefense):
    """Draws an image anew so that a verifier fails to recognize the patient and a classifier still finds what it shows.

    Privacy-Net of Kim et al., "Privacy-Net: an adversarial approach for identity-obfuscated segmentation of medical
    images" (2021), as Packhäuser et al. (2023) compare it with PriCheXy-Net: a U-Net of three scales that ends in a
    sigmoid, and the losses and the training of flow_field, with what differs there. Their network has other layers
    (leaky rectifiers, biases, a closing 3 × 3 convolution with batch norm) than PriCheXy-Net's at three scales, which
    stands here. The network may change any pixel at will, which hides more
    and leaves less. The verifier and the classifier begin anew for each training, and judge nothing.

    Published settings are the operating point ``published``: 16 features, batches of 64, Adam at 1e-4, a ResNet-50
    verifier and a DenseNet-121 classifier from ImageNet weights, 256² images; that wants a GPU. All other points are
    trained in minutes on two CPU cores at 64². They differ in the weight of the verifier's loss. Reported are a
    verification AUC of 49.8 ± 2.2 after re-training and a mean AUC of the findings of 57.5.

    No formal guarantee. The release is a fixed function of the image: anyone with the network can apply it.
    """

    name = "privacy_net"
    family = "adversarial"
    operating_points = {
        "mild": {"verifier_weight": 0.1},
        "moderate": {"verifier_weight": 0.3},
        "strong": {"verifier_weight": 1.0},
        "severe": {"verifier_weight": 3.0},
        "published": {
            "features": 16,
            **PUBLISHED,
        },
    }
    features: int = Field(8, ge=1, le=128, description="channels of the U-Net's first scale; published: 16")

    def build(self) -> nn.Module:
        """The U-Net that draws: (B, 1, H, W) to (B, 1, H, W) in [0, 1]."""
        return UNet(1, self.features, 3, nn.Sigmoid())

    def anonymize(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Draws images anew: (B, 1, H, W)."""
        drawn: torch.Tensor = network(images)
        return drawn
