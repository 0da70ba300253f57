"""Grey levels: normalization, quantization and compression."""

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image, ImageOps

from reidbench import ReidbenchError
from reidbench.images import to_pixels, to_unit
from reidbench_plugins.intensity_normalize import IntensityNormalize
from reidbench_plugins.jpeg import Jpeg
from reidbench_plugins.quantize import Quantize

CPU = torch.device("cpu")


def test_percentiles_become_black_and_white(run) -> None:
    levels = torch.linspace(0.2, 0.6, 101)[torch.randperm(101)]
    after = run(IntensityNormalize(low=10, high=90), levels.view(1, 1, 1, 101)).flatten()
    expected = ((levels - 0.24) / 0.32).clamp(0, 1)
    assert torch.allclose(after, expected, atol=1e-5)
    assert int((after == 0).sum()) == 11
    assert int((after == 1).sum()) == 11


def test_percentile_undoes_windowing(run, pixels) -> None:
    images = to_unit(pixels(3), CPU)
    windowed = 0.3 * images + torch.tensor([0.0, 0.2, 0.6]).view(3, 1, 1, 1)
    normalize = IntensityNormalize(method="percentile")
    assert torch.allclose(run(normalize, images), run(normalize, windowed), atol=1e-5)


def test_histogram_equalization_agrees_with_pillow(run, pixels) -> None:
    images = np.concatenate([pixels(3), pixels(1) // 3 + 20])
    expected = np.stack([np.asarray(ImageOps.equalize(Image.fromarray(image))) for image in images])
    after = run(IntensityNormalize(method="histogram"), to_unit(images, CPU))
    np.testing.assert_array_equal(to_pixels(after), expected)


@pytest.mark.parametrize("method", ["percentile", "histogram"])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_constants_have_no_scale_and_stay(method: str, level: float, run, grey) -> None:
    images = grey(48, 80, level)
    assert torch.equal(run(IntensityNormalize(method=method), images), images)


def test_clahe_raises_local_contrast_up_to_its_limit(run, pixels) -> None:
    faint = to_unit(pixels(3, 128, 160), CPU) * 0.1 + 0.4
    spread = [float(run(IntensityNormalize(method="clahe", clip_limit=limit), faint).std()) for limit in (1, 2, 10)]
    assert float(faint.std()) < spread[0] < spread[1] < spread[2]


def test_clahe_works_tile_by_tile(run, pixels) -> None:
    images = to_unit(pixels(1, 64, 96), CPU)
    changed = images.clone()
    changed[..., :16, :24] = changed[..., :16, :24].flip(-1)
    normalize = IntensityNormalize(method="clahe", tiles=4)
    before, after = run(normalize, images), run(normalize, changed)
    # The same levels in the same tile, so its curve is the same, and nothing else can have moved.
    assert torch.equal(before[..., 16:, :], after[..., 16:, :])


def test_clahe_refuses_images_smaller_than_its_tiles(run) -> None:
    with pytest.raises(ReidbenchError, match="intensity_normalize: tiles=8 needs more than that many pixels a side"):
        run(IntensityNormalize(method="clahe"), torch.rand(1, 1, 8, 80))


@pytest.mark.parametrize("levels", [2, 3, 16, 255])
def test_quantize_takes_the_nearest_level(levels: int, run) -> None:
    images = to_unit(np.arange(256, dtype=np.uint8).reshape(1, 8, 32), CPU)
    after = run(Quantize(levels=levels), images)
    assert len(after.unique()) == levels
    grid = np.linspace(0, 1, levels)
    nearest = grid[np.abs(images.numpy().ravel()[:, None].astype(np.float64) - grid).argmin(1)]
    np.testing.assert_allclose(after.numpy().ravel(), nearest, atol=1e-6)
    assert after.min() == 0
    assert after.max() == 1


def test_quantize_to_256_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal to 255"):
        Quantize(levels=256)


# Luminance quantization of ITU-T T.81, table K.1.
TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


@pytest.mark.parametrize("quality", [5, 25, 75, 95])
def test_jpeg_quantizes_cosines_of_blocks(quality: int, run, pixels) -> None:
    images = pixels(2, 48, 80)
    after = to_pixels(run(Jpeg(quality=quality), to_unit(images, CPU)))
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    steps = np.floor((TABLE * np.floor(scale) + 50) / 100).clip(1, 255)
    blocks = images.reshape(2, 6, 8, 10, 8).swapaxes(2, 3).astype(float) - 128
    coefficients = scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho")
    rebuilt = scipy.fft.idctn(np.round(coefficients / steps) * steps, axes=(-2, -1), norm="ortho") + 128
    error = np.abs(rebuilt.clip(0, 255).swapaxes(2, 3).reshape(images.shape) - after)
    # libjpeg's integer transforms round now and then to the neighbouring step, which shows in a whole block.
    assert np.median(error) < 0.5
    assert np.quantile(error, 0.9) < 1.25


def test_jpeg_of_higher_quality_is_nearer(run, pixels) -> None:
    images = to_unit(pixels(3), CPU)
    errors = [float((run(Jpeg(quality=quality), images) - images).square().mean()) for quality in (3, 10, 25, 50, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0
