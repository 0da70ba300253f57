"""Cell means and their private kin, against loops in numpy."""

import numpy as np
import pytest
import torch

from reidbench import ReidbenchError
from reidbench_plugins.downsample import Downsample
from reidbench_plugins.dp_blur import DPBlur
from reidbench_plugins.dp_pix import DPPix
from reidbench_plugins.dp_samp import DPSamp
from reidbench_plugins.dp_snow import DPSnow
from reidbench_plugins.gaussian_blur import GaussianBlur
from reidbench_plugins.pixelate import Pixelate


def mosaic(image: np.ndarray, cell: int) -> np.ndarray:
    out = np.empty_like(image)
    for row in range(0, image.shape[0], cell):
        for column in range(0, image.shape[1], cell):
            part = image[row : row + cell, column : column + cell]
            out[row : row + cell, column : column + cell] = part.mean()
    return out


@pytest.mark.parametrize("cell", [2, 5, 8, 16, 60, 1000])
@pytest.mark.parametrize("shape", [(48, 80), (50, 77)])
def test_pixelate_takes_cell_means(cell: int, shape: tuple[int, int], run, pixels) -> None:
    images = pixels(2, *shape)
    after = run(Pixelate(cell=cell), torch.from_numpy(images).float().unsqueeze(1) / 255)
    expected = np.stack([mosaic(image / 255, cell) for image in images])
    np.testing.assert_allclose(after[:, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [12, 24])
def test_downsample_is_area_means_and_bilinear(size: int, run, pixels) -> None:
    images = pixels(2)
    after = run(Downsample(size=size), torch.from_numpy(images).float().unsqueeze(1) / 255)
    step = 48 // size
    for image, result in zip(images, after[:, 0].numpy(), strict=True):
        small = (image / 255).reshape(size, step, 80 // step, step).mean((1, 3))
        rows, columns = ((np.arange(n) + 0.5) / step - 0.5 for n in image.shape)
        across = np.stack([np.interp(columns, np.arange(small.shape[1]), line) for line in small])
        expected = np.stack([np.interp(rows, np.arange(size), line) for line in across.T]).T
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("size", [48, 100])
def test_downsample_refuses_to_do_nothing(size: int, run) -> None:
    with pytest.raises(ReidbenchError, match=rf"downsample: size={size} reduces no image of 48×80; give less than 48"):
        run(Downsample(size=size), torch.rand(1, 1, 48, 80))


def test_dp_pix_noise_has_its_scale_and_cut_cells_the_more(run, grey) -> None:
    # 8 × 8 cells over 20 rows: two whole ones and one of 4 rows, with half the pixels.
    after = run(DPPix(b=8, m=2, epsilon=5), grey(20, 8 * 4000))[0, 0]
    cells = after[::8, ::8]
    np.testing.assert_array_equal(after[:8].numpy(), np.repeat(np.repeat(cells[:1].numpy(), 8, 0), 8, 1))
    absolute = (cells - 0.5).abs().mean(1)
    assert absolute[:2].tolist() == pytest.approx([2 / (64 * 5)] * 2, rel=0.05)
    assert float(absolute[2]) == pytest.approx(2 / (32 * 5), rel=0.05)


def test_dp_pix_without_noise_is_a_mosaic(run, pixels) -> None:
    images = torch.from_numpy(pixels(2, 64, 96)).float().unsqueeze(1) / 255
    quiet = run(DPPix(b=32, epsilon=100), images)
    assert torch.allclose(quiet, run(Pixelate(cell=32), images), atol=2e-4)


def test_dp_pix_states_what_it_protects() -> None:
    one = DPPix(b=8, m=1, epsilon=0.1).privacy(256, 256)
    assert (one.epsilon, one.delta) == (0.1, 0)
    assert one.unit == "a pixel; epsilon is 6,553.6 for a whole 256×256 image"
    assert DPPix(m=256, epsilon=0.1).privacy(256, 256).unit == (
        "256 pixels of an image; epsilon is 25.6 for a whole 256×256 image"
    )


def test_dp_blur_is_dp_pix_blurred(run, pixels) -> None:
    images = torch.from_numpy(pixels(2)).float().unsqueeze(1) / 255
    after = run(DPBlur(b=4, epsilon=0.5, sigma=3), images)
    expected = run(GaussianBlur(sigma=3), run(DPPix(b=4, epsilon=0.5), images))
    assert torch.allclose(after, expected, atol=1e-6)
    assert DPBlur(b=4, epsilon=0.5).privacy(48, 80) == DPPix(b=4, epsilon=0.5).privacy(48, 80)


def test_dp_samp_keeps_a_pixel_of_its_own_cell(run) -> None:
    # Constant cells of 5 × 5: whatever pixel is kept, its cell's centre shows its value (and noise of scale 0.01).
    values = torch.linspace(0.2, 0.8, 9 * 16).view(1, 1, 9, 16)
    images = values.repeat_interleave(5, 2).repeat_interleave(5, 3)
    noise = run(DPSamp(cell=5, epsilon=100), images)[..., 2::5, 2::5] - values
    assert float(noise.abs().mean()) == pytest.approx(0.01, rel=0.25)


def test_dp_samp_draws_places_evenly_also_in_cut_cells(run) -> None:
    # One bright column (or row) of five: it is kept in a fifth of the cells. Four of five are left in the last cells.
    for dimension, cut in ((2, (44, 300)), (3, (300, 44))):
        images = torch.full((40, 1, *cut), 0.2)
        images.select(dimension, 1)[:] = 0.8
        images.select(dimension, 42)[:] = 0.8
        bright = run(DPSamp(cell=5, epsilon=100), images)[..., 2::5, 2::5] > 0.5
        assert float(bright.select(dimension, 0).float().mean()) == pytest.approx(1 / 5, abs=0.03)
        assert float(bright.select(dimension, 8).float().mean()) == pytest.approx(1 / 4, abs=0.03)


def test_dp_samp_noise_has_its_scale(run, grey) -> None:
    after = run(DPSamp(cell=1, m=2, epsilon=50), grey())
    assert float((after - 0.5).abs().mean()) == pytest.approx(2 / 50, rel=0.02)


def test_dp_samp_whole_image_is_bounded_by_its_samples() -> None:
    privacy = DPSamp(cell=8, m=1, epsilon=1).privacy(100, 60)
    assert privacy.unit == "a pixel; epsilon is 104 for a whole 100×60 image"


def test_dp_snow_replaces_its_share_and_touches_nothing_else(run) -> None:
    images = torch.rand(2, 1, 192, 320) * 0.4
    after = run(DPSnow(share=0.75, value=0.9), images)
    snow = after == 0.9
    assert float(snow.float().mean()) == pytest.approx(0.75, abs=0.005)
    assert torch.equal(after[~snow], images[~snow])
    assert torch.equal(run(DPSnow(share=1), images), torch.full_like(images, 0.5))


def test_dp_snow_is_private_with_a_delta() -> None:
    privacy = DPSnow(share=0.75).privacy(2, 2)
    assert (privacy.epsilon, privacy.delta) == (0, 0.25)
    assert privacy.unit == f"a pixel; delta is {1 - 0.75**4:.6g} for a whole 2×2 image"
