"""Grey values of DICOM files as a viewer shows them: windows, tables, padding, signs and depths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")

from dicom_files import RAMP, check, save, shown, write  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402


def test_twelve_bits_without_a_window_span_the_range(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP + 20), RAMP / 4032 * 255)


def test_sixteen_bits(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP * 16, bits=16), RAMP / 4032 * 255)


def test_eight_bits_with_a_full_window_are_kept(tmp_path: Path) -> None:
    pixels = (RAMP // 64 + 90).astype(np.uint8)
    check(write(tmp_path / "x", pixels, bits=8, WindowCenter=128, WindowWidth=256), pixels)


def test_signed_values(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP.astype(np.int16) - 2000), RAMP / 4032 * 255)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, PhotometricInterpretation="MONOCHROME1"), 255 - RAMP / 4032 * 255)


def test_monochrome1_is_inverted_after_its_window(tmp_path: Path) -> None:
    path = write(tmp_path / "x", RAMP, PhotometricInterpretation="MONOCHROME1", WindowCenter=1000.5, WindowWidth=1001)
    check(path, 255 - np.clip((RAMP - 500.0) / 1000 * 255, 0, 255))


def test_linear_window_by_the_standard_s_formula(tmp_path: Path) -> None:
    # PS3.3 C.11.2.1.2.1: black at c - 0.5 - (w - 1) / 2, white at c - 0.5 + (w - 1) / 2.
    check(write(tmp_path / "x", RAMP, WindowCenter=2048, WindowWidth=1025), (RAMP - 1535.5) / 1024 * 255)


def test_exact_and_sigmoid_windows(tmp_path: Path) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    check(write(tmp_path / "e", RAMP, VOILUTFunction="LINEAR_EXACT", **window), (RAMP - 1500.0) / 1000 * 255)
    sigmoid = 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))
    check(write(tmp_path / "s", RAMP, VOILUTFunction="SIGMOID", **window), sigmoid)


def test_the_first_of_several_windows_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "x", RAMP, WindowCenter=[2048, 9], WindowWidth=[1025, 9])
    check(path, (RAMP - 1535.5) / 1024 * 255)


def test_a_window_of_width_one_is_a_threshold(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000.5, WindowWidth=1), np.where(RAMP > 2000, 255, 0))


def test_the_window_counts_rescaled_values(tmp_path: Path) -> None:
    rescaled = RAMP * 2.0 - 1000
    path = write(tmp_path / "x", RAMP, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000.5, WindowWidth=2001)
    check(path, (rescaled - 2000) / 2000 * 255)


def test_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = (4095 - np.arange(4096)).astype(np.uint16).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    path = write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table]), WindowCenter=5, WindowWidth=5)
    check(path, (4095 - RAMP.astype(float)) / 4095 * 255)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_widens_no_range(tmp_path: Path, kind: str) -> None:
    pixels = RAMP.copy()
    pixels[:8] = 4095
    path = write(tmp_path / "x", pixels, PhotometricInterpretation=kind, PixelPaddingValue=4095)
    assert (shown(path)[:8] == 0).all()
    expected = RAMP[8:] / 4032 * 255
    np.testing.assert_allclose(shown(path)[8:], 255 - expected if kind == "MONOCHROME1" else expected, atol=0.51)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[..., 1] = 200
    path = write(
        tmp_path / "x", pixels, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0
    )
    check(path, np.full((64, 64), 0.587 * 200))


def lut(entries: np.ndarray, bits: int, first: int = 0) -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [len(entries) % 2**16, first, bits]
    table.LUTData = entries.astype(np.uint16).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    return table


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_a_lut_that_declares_too_many_bits_reaches_white(tmp_path: Path, bits: int) -> None:
    table = lut(np.arange(4096), bits)
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table])), RAMP / 4095 * 255)


def test_a_lut_whose_data_are_bytes(tmp_path: Path) -> None:
    table = lut(np.arange(4096) // 16, 8)
    del table.LUTData
    table.add_new("LUTData", "OW", (np.arange(4096) // 16).astype(np.uint8).tobytes())
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([table])), RAMP // 16)


def test_a_voi_item_without_data_leaves_the_window(tmp_path: Path) -> None:
    empty = Dataset()
    empty.LUTDescriptor = [4096, 0, 12]
    empty["LUTDescriptor"].VR = "US"
    fields = {"VOILUTSequence": Sequence([empty]), "WindowCenter": 2048, "WindowWidth": 1025}
    check(write(tmp_path / "x", RAMP, **fields), (RAMP - 1535.5) / 1024 * 255)
    check(write(tmp_path / "y", RAMP, VOILUTSequence=Sequence([empty])), RAMP / 4032 * 255)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_modality_luts_of_any_depth(tmp_path: Path, bits: int) -> None:
    table = lut((4095 - np.arange(4096)) >> max(12 - bits, 0), bits)
    table.ModalityLUTType = "US"
    check(write(tmp_path / "x", RAMP, ModalityLUTSequence=Sequence([table])), (4032 - RAMP.astype(float)) / 4032 * 255)


@pytest.mark.parametrize("width", [0, -400, ""])
def test_a_window_without_width_is_none(tmp_path: Path, width: object) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000, WindowWidth=width), RAMP / 4032 * 255)
    path = write(tmp_path / "y", RAMP, WindowCenter=[2000, 2048], WindowWidth=[0, 1025])
    check(path, (RAMP - 1535.5) / 1024 * 255)


def test_a_width_below_one_is_that_of_rescaled_values(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x", RAMP, RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter="0.2", WindowWidth="0.2"
    )
    check(path, (RAMP * 0.0001 - 0.1) / 0.2 * 255)


def test_a_width_below_one_of_whole_numbers_is_no_window(tmp_path: Path) -> None:
    check(write(tmp_path / "x", RAMP, WindowCenter=2000, WindowWidth="0.5"), RAMP / 4032 * 255)


@pytest.mark.parametrize("empty", ["RescaleSlope", "RescaleIntercept"])
def test_an_empty_slope_is_one_and_an_empty_intercept_zero(tmp_path: Path, empty: str) -> None:
    fields = {"RescaleSlope": "1", "RescaleIntercept": "0", empty: ""}
    check(write(tmp_path / "x", RAMP, WindowCenter=2048, WindowWidth=1025, **fields), (RAMP - 1535.5) / 1024 * 255)


@pytest.mark.parametrize(("kind", "padding"), [(np.int16, 2**16 - 2000), (np.uint16, -536)])
def test_padding_with_the_other_sign(tmp_path: Path, kind: type, padding: int) -> None:
    pixels = RAMP.astype(kind)
    pixels[:8] = -2000 if kind is np.int16 else 65000
    path = write(tmp_path / "x", pixels, bits=16)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    dataset.save_as(path)
    assert (shown(path)[:8] == 0).all()
    np.testing.assert_allclose(shown(path)[8:], RAMP[8:] / 4032 * 255, atol=0.51)


def test_colour_of_twelve_bits_spans_the_range(tmp_path: Path) -> None:
    colour = np.repeat(RAMP[..., None], 3, axis=2)
    fields = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    check(write(tmp_path / "x", colour, **fields), RAMP / 4095 * 255)


def test_padding_of_twelve_bits_with_the_other_sign_is_black(tmp_path: Path) -> None:
    pixels = RAMP // 2
    pixels[:8] = 4095
    path = write(tmp_path / "x", pixels)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x00280120, "SS", -1)
    expected = RAMP / 4032 * 255
    expected[:8] = 0
    check(save(path, dataset), expected)


@pytest.mark.parametrize("declared", [12, 16])
def test_a_table_that_does_not_reach_white_is_shown_as_it_is(tmp_path: Path, declared: int) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4096, 0, declared])
    item.add_new(0x00283006, "US", np.linspace(0, 1365, 4096).astype(int).tolist())
    # Sixteen bits declared over pixels of twelve, with entries that fit into twelve: twelve are meant.
    check(write(tmp_path / "x", RAMP, VOILUTSequence=Sequence([item])), np.floor(RAMP / 4095 * 1365) / 4095 * 255)


def test_a_table_that_begins_below_zero_serves_pixels_that_are_not(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [5120, 2**16 - 1024, 12])
    item.add_new(0x00283006, "US", np.linspace(0, 4095, 5120).astype(int).tolist())
    pixels = (RAMP // 2).astype(np.int16)
    path = write(tmp_path / "x", pixels, VOILUTSequence=Sequence([item]))
    check(path, np.floor((pixels + 1024.0) / 5119 * 4095) / 4095 * 255)


def with_high_bit(path: Path, pixels: np.ndarray, high: int, **fields: Any) -> Path:
    write(path, pixels, **fields)
    file = pydicom.dcmread(path)
    file.HighBit = high
    file.save_as(path)
    return path


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
@pytest.mark.parametrize("signed", [False, True])
def test_values_in_the_upper_bits(tmp_path: Path, window: dict[str, int], signed: bool) -> None:
    values = ((RAMP.astype(np.int32) - 2048) << 4).astype(np.int16) if signed else RAMP << 4
    fields = {**window, "RescaleIntercept": 2048} if signed else window
    expected = RAMP / (4032 if not window else 4095) * 255
    check(with_high_bit(tmp_path / "a.dcm", values, 15, **fields), expected)


def test_a_high_bit_that_the_values_do_not_reach_is_not_believed(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    check(with_high_bit(tmp_path / "a.dcm", RAMP, 15, **window), RAMP / 4095 * 255)
    signed = ((RAMP.astype(np.int32) - 2048) & 0xFFF).astype(np.int16)  # twelve bits, the sign not repeated
    check(with_high_bit(tmp_path / "b.dcm", signed, 15, RescaleIntercept=2048, **window), RAMP / 4095 * 255)


def test_bits_of_an_overlay_above_the_stored_ones_do_not_count(tmp_path: Path) -> None:
    check(write(tmp_path / "a.dcm", RAMP | 0xF000, WindowCenter=2048, WindowWidth=4096), RAMP / 4095 * 255)


def test_floating_point_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    file = pydicom.dcmread(path)
    del file.PixelData, file.BitsStored, file.HighBit, file.PixelRepresentation
    file.BitsAllocated = 32
    file.FloatPixelData = (RAMP / 4032 - 0.5).astype("<f4").tobytes()
    file.save_as(path)
    check(path, RAMP / 4032 * 255)
