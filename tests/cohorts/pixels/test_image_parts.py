"""Parts of images: they add up, each frequency is in one band, and what is published of them is stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from reidbench.cohorts.pixels.image_parts import (
    MID_GREY,
    MOST_GAIN,
    Band,
    Region,
    Whole,
    gain_of,
    left_by,
    octaves,
    publish,
    variance_share,
)


@pytest.fixture
def images() -> np.ndarray:
    rng = np.random.default_rng(1)
    # More at low frequencies than at high ones, as in photographs, and an edge that wraps around badly.
    smooth = rng.normal(size=(150, 4, 4)).repeat(8, axis=1).repeat(8, axis=2) * 40
    ramp = np.linspace(-60, 60, 32)[None, :, None]
    return np.clip(128 + smooth + ramp + rng.normal(size=(150, 32, 32)) * 8, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 32, 45, 64])
def test_octaves_halve_down_from_the_finest_and_what_is_coarser_is_the_last(size):
    bands = octaves(size)
    assert [band.low for band in bands] == [size / 4, size / 8, size / 16, size / 32, 0.0]
    assert [band.high for band in bands] == [float("inf"), *(band.low for band in bands[:-1])]
    assert [band.has_mean for band in bands] == [False] * 4 + [True]


@pytest.mark.parametrize(
    "parts", [octaves(32), (Region(border=True), Region(border=False))], ids=["octaves", "regions"]
)
def test_parts_add_up_to_the_image_and_their_variances_to_its_variance(images, parts):
    grey = images.astype(np.float64)
    np.testing.assert_allclose(sum(part.of(grey) for part in parts), grey, atol=1e-9)
    assert sum(variance_share(part, images) for part in parts) == pytest.approx(1.0, abs=1e-9)
    for part in parts:
        np.testing.assert_allclose(part.of(grey) + left_by(part).of(grey), grey, atol=1e-9)
        # A part of a part is the part: nothing of it is anywhere else.
        np.testing.assert_allclose(part.of(part.of(grey)), part.of(grey), atol=1e-9)
        np.testing.assert_allclose(left_by(part).of(part.of(grey)), 0.0, atol=1e-9)


@pytest.mark.parametrize("cycles", [0.5, 1.0, 1.5, 2.0, 3.5, 4.0, 7.5, 8.0, 15.5])
@pytest.mark.parametrize("upright", [True, False])
def test_a_wave_of_a_known_frequency_is_in_the_band_of_that_frequency_alone(cycles, upright):
    places = (np.arange(32) + 0.5) / 32
    wave = np.tile(50 * np.cos(2 * np.pi * cycles * places), (32, 1))
    wave = wave.T if upright else wave
    for band in octaves(32):
        expected = wave if band.low <= cycles < band.high else np.zeros_like(wave)
        np.testing.assert_allclose(band.of(wave[None])[0], expected, atol=1e-9)


def test_a_band_is_what_scipys_cosine_transform_has_of_it(images):
    grey = images[:3].astype(np.float64)
    band = Band(2.0, 4.0)
    spectrum = dctn(grey, axes=(1, 2), norm="ortho")
    across = np.hypot(*np.meshgrid(np.arange(32) / 2, np.arange(32) / 2, indexing="ij"))
    expected = idctn(np.where((across >= 2) & (across < 4), spectrum, 0.0), axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(band.of(grey), expected, atol=1e-9)


@pytest.mark.parametrize("size", [16, 32, 64, 100])
def test_the_border_is_a_frame_of_about_half_of_the_area(size):
    border, centre = Region(border=True), Region(border=False)
    assert border.share(size) == pytest.approx(0.5, abs=2 / size)
    assert border.share(size) + centre.share(size) == pytest.approx(1.0)
    ones = np.ones((1, size, size))
    frame = border.of(ones)[0]
    assert frame[0].all()
    assert frame[:, -1].all()
    assert not frame[size // 2, size // 2]
    np.testing.assert_array_equal(frame, frame[::-1])
    np.testing.assert_array_equal(frame, frame.T)


def test_a_gain_is_a_power_of_two_that_brings_the_training_images_part_near_the_aim(images):
    for band in octaves(32)[:-1]:
        gain = gain_of(band, images)
        assert np.log2(gain) % 1 == 0
        spread = float(np.sqrt(np.square(band.of(images.astype(np.float64))).mean()))
        assert 16 < gain * spread <= 32 or gain in (1.0, MOST_GAIN)
    assert gain_of(octaves(32)[0], images) > 1
    assert [gain_of(part, images) for part in (Whole(), octaves(32)[-1], Region(border=True))] == [1.0] * 3
    assert gain_of(octaves(32)[0], np.full((3, 32, 32), 9, np.uint8)) == 1.0
    assert gain_of(octaves(32)[0], np.empty((0, 32, 32), np.uint8)) == 1.0


def test_what_is_published_is_the_gain_times_the_part_around_mid_grey(images):
    grey = images.astype(np.float64)
    np.testing.assert_array_equal(publish(Whole(), 1.0, images), images)
    fine = octaves(32)[0]
    expected = np.clip(np.rint(MID_GREY + 4 * fine.of(grey)), 0, 255)
    np.testing.assert_array_equal(publish(fine, 4.0, images), expected)
    without = publish(left_by(fine), 1.0, images)
    np.testing.assert_array_equal(without, np.clip(np.rint(grey - fine.of(grey)), 0, 255))
    framed = publish(Region(border=True), 1.0, images)
    assert (framed[:, 16, 16] == MID_GREY).all()
    np.testing.assert_array_equal(framed[:, 0], images[:, 0])


def test_pixels_that_do_not_vary_have_no_shares():
    assert np.isnan(variance_share(octaves(32)[0], np.full((2, 32, 32), 7, np.uint8)))
