import torch

from reidbench_plugins.blackout import Blackout
from reidbench_plugins.gaussian_noise import GaussianNoise
from reidbench_plugins.identity import Identity


def test_identity_keeps_every_pixel(run) -> None:
    images = torch.rand(3, 1, 48, 80)
    assert torch.equal(run(Identity(), images), images)


def test_blackout_leaves_nothing(run) -> None:
    assert torch.equal(run(Blackout(value=0.25), torch.rand(3, 1, 48, 80)), torch.full((3, 1, 48, 80), 0.25))


def test_noise_of_sigma_zero_is_exactly_identity(run) -> None:
    images = torch.rand(3, 1, 48, 80)
    assert torch.equal(run(GaussianNoise(sigma=0), images), images)
