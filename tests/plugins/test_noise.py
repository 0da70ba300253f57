"""Moments of the noises, at levels where nothing is clipped."""

import pytest
import torch

from reidbench_plugins.gaussian_noise import GaussianNoise
from reidbench_plugins.laplace_noise import LaplaceNoise
from reidbench_plugins.poisson_noise import PoissonNoise
from reidbench_plugins.speckle_noise import SpeckleNoise

PIXELS = 192 * 320


def kurtosis(noise: torch.Tensor) -> float:
    return float((noise**4).mean() / (noise**2).mean() ** 2)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1])
def test_gaussian_moments(sigma: float, run, grey) -> None:
    noise = run(GaussianNoise(sigma=sigma), grey()) - 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=4 * sigma / PIXELS**0.5)
    assert float(noise.std()) == pytest.approx(sigma, rel=0.02)
    assert kurtosis(noise) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("scale", [0.01, 0.03])
def test_laplace_moments(scale: float, run, grey) -> None:
    noise = run(LaplaceNoise(scale=scale), grey()) - 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=4 * 2**0.5 * scale / PIXELS**0.5)
    assert float(noise.abs().mean()) == pytest.approx(scale, rel=0.02)
    assert float(noise.std()) == pytest.approx(2**0.5 * scale, rel=0.02)
    assert kurtosis(noise) == pytest.approx(6, abs=0.5)
    # P(|x| > t) = exp(−t / b), the ratio that the guarantee rests on.
    for times in (1.0, 2.0, 4.0):
        share = float((noise.abs() > times * scale).double().mean())
        assert share == pytest.approx(torch.exp(torch.tensor(-times)).item(), rel=0.08)


def test_laplace_epsilon_is_per_pixel_and_composes() -> None:
    privacy = LaplaceNoise(scale=0.5).privacy(100, 200)
    assert (privacy.epsilon, privacy.delta) == (2, 0)
    assert privacy.unit == "a pixel; epsilon is 40,000 for a whole 100×200 image"


@pytest.mark.parametrize("level", [0.1, 0.25, 0.5])
def test_poisson_variance_is_mean_over_photons(level: float, run, grey) -> None:
    after = run(PoissonNoise(photons=200), grey(value=level))
    assert float(after.mean()) == pytest.approx(level, rel=0.01)
    assert float(after.var()) == pytest.approx(level / 200, rel=0.03)
    counts = after * 200
    assert torch.allclose(counts, counts.round(), atol=1e-3), "photons are counted"


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_speckle_is_proportional_to_the_pixel(level: float, run, grey) -> None:
    after = run(SpeckleNoise(sigma=0.2), grey(value=level))
    assert float(after.mean()) == pytest.approx(level, rel=0.01)
    assert float(after.std()) == pytest.approx(0.2 * level, rel=0.02)


@pytest.mark.parametrize("defense", [PoissonNoise(photons=2), SpeckleNoise(sigma=2)])
def test_black_stays_black(defense, run, grey) -> None:
    assert not run(defense, grey(value=0.0)).any()


@pytest.mark.parametrize(
    "defense", [GaussianNoise(sigma=0.05), LaplaceNoise(scale=0.03), PoissonNoise(photons=200), SpeckleNoise(sigma=0.1)]
)
def test_noise_is_white_and_each_image_has_its_own(defense, run, grey) -> None:
    noise = run(defense, grey(64, 96).repeat(2, 1, 1, 1)) - 0.5
    noise /= noise.std()
    limit = 4 / (64 * 96) ** 0.5
    assert abs(float((noise[0] * noise[1]).mean())) < limit
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < limit
    assert abs(float((noise[..., 1:, :] * noise[..., :-1, :]).mean())) < limit
