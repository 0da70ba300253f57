"""Siamese Grad-CAM against maps worked out by hand, and against gradients taken without hooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench.networks.architectures.backbones import build_backbone
from reidbench.networks.gradcam import convolutions, first_and_middle, siamese_cam


def test_the_map_of_a_linear_network_is_known():
    # Two channels, c₀ = 2x and c₁ = −x; the score is Σ_k w_k · mean(c_k of a) + v_k · mean(c_k of b).
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([2.0, -1.0]).reshape(2, 1, 1, 1)
    w, v = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 4.0])

    def score(pair):
        means = layer(pair).mean(dim=(2, 3))
        return ((means[0] * w).sum() + (means[1] * v).sum()).reshape(1)

    pair = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    maps = siamese_cam(score, layer, pair)
    # The gradient of a channel is its weight over the 16 positions. a: (3·2 − 1)/16 · x; b: (−1·2 − 4)/16 · x < 0.
    assert torch.allclose(maps[0], 5 / 16 * pair[0, 0])
    assert torch.equal(maps[1], torch.zeros(4, 4))


@pytest.mark.parametrize("name", ["resnet_small_4", "resnet18"])
def test_maps_of_a_real_network_are_gradients_times_activations(name):
    torch.manual_seed(0)
    network = build_backbone(name).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # A block begins as its shortcut: nothing passes its convolutions.
            nn.init.ones_(module.weight)
    pair = torch.rand(2, 1, 32, 32)
    layers = first_and_middle(convolutions(network, pair))
    assert len(layers) == 2

    def from_features(features):
        pooled = features.mean(dim=(2, 3))
        return -(pooled[:1] - pooled[1:]).square().sum(dim=1)

    for layer in layers.values():
        maps = siamese_cam(lambda images: from_features(network(images)), layer, pair)
        kept = {}
        hook = layer.register_forward_hook(lambda m, i, o, kept=kept: kept.update(output=o))
        value = from_features(network(pair))
        hook.remove()
        (gradient,) = torch.autograd.grad(value.sum(), kept["output"])
        a, g = kept["output"].detach().numpy(), gradient.numpy()
        wanted = np.maximum((g.mean(axis=(2, 3), keepdims=True) * a).sum(axis=1), 0)
        grown = nn.functional.interpolate(torch.from_numpy(wanted)[:, None], size=(32, 32), mode="bilinear")[:, 0]
        assert torch.allclose(maps, grown, rtol=1e-4, atol=1e-8)
        assert maps.max() > 0


def test_layers_come_in_the_order_of_the_images_not_of_the_code():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.one_pixel, self.first = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 3)
            self.unused = nn.Conv2d(1, 1, 5)

        def forward(self, images):
            return self.last(self.one_pixel(self.first(images)))

    found = convolutions(Backwards(), torch.zeros(1, 1, 8, 8))
    assert list(found) == ["first", "last"]
    assert list(first_and_middle({"only": found["last"]})) == ["only"]


def test_identical_images_have_no_gradient_and_an_empty_map():
    layer = nn.Conv2d(1, 3, 3, padding=1)

    def distance(pair):
        a, b = layer(pair).mean(dim=(2, 3)).split(1)
        return -(a - b).square().sum(dim=1).sqrt()

    maps = siamese_cam(distance, layer, torch.rand(1, 1, 8, 8).expand(2, 1, 8, 8))
    assert torch.equal(maps, torch.zeros(2, 8, 8))
