"""Batch norms that are part of their convolutions once a network is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reidbench.networks.architectures.backbones import FLAT, standardized
from reidbench.networks.architectures.normed import normed
from reidbench.networks.architectures.residual import SmallResNet


def norm_of(channels):
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    return norm


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_as_the_convolution_and_the_norm_one_after_the_other(bias, training):
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(3, 5, 3, 2, 1, bias=bias), norm_of(5)
    images = torch.randn(4, 3, 9, 12)
    norm.train(training)
    with torch.no_grad():
        found, expected = normed(images, convolution, norm), norm(convolution(images))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (7, 8), (5, 3), (1, 1)])
def test_a_halved_image_is_averaged_over_squares_cut_at_the_edge(shape):
    torch.manual_seed(0)
    project, norm = nn.Conv2d(3, 5, 1, bias=False), norm_of(5).eval()
    images = torch.randn(4, 3, *shape)
    with torch.no_grad():
        expected = norm(project(nn.functional.avg_pool2d(images, 2, ceil_mode=True)))
        torch.testing.assert_close(normed(images, project, norm, halved=True), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [64, 37])
def test_the_small_network_in_use_is_the_trained_one(size):
    torch.manual_seed(0)
    network = SmallResNet(blocks=2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Blocks begin as their shortcuts.
            nn.init.uniform_(module.weight, 0.5, 1.5)
    images = torch.randn(16, 1, size, size)
    for _ in range(200):
        seen = network(images)
    with torch.no_grad():
        # After so many looks at one batch the kept statistics are the batch's, but for n / (n - 1) in the variance.
        torch.testing.assert_close(network.eval()(images), seen, rtol=0.05, atol=0.05)


def test_standardized_takes_out_exposure_and_contrast_and_leaves_a_constant_image_at_zero():
    images = torch.cat([torch.rand(3, 1, 20, 24), torch.full((1, 1, 20, 24), 0.7)])
    found = standardized(images)
    deviation, mean = torch.std_mean(images.double(), dim=(1, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(found.double(), (images - mean) / (deviation + FLAT), rtol=1e-5, atol=1e-5)
    assert found[3].abs().max() < 1e-5


def test_a_constant_image_has_a_finite_gradient_through_standardization():
    images = torch.full((2, 1, 6, 6), 0.5, requires_grad=True)
    standardized(images).sum().backward()
    assert torch.isfinite(images.grad).all()
    # A generator that paints everything in one grey is where this happens.
    varied = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (standardized(varied) * varied.detach()).sum().backward()
    assert varied.grad.abs().max() > 0
