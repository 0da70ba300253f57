"""Sixteen bits in several channels, and TIFF files of kinds that Pillow does not open by itself."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidbench.cohorts.pixels import deep_colour
from reidbench.cohorts.pixels.decode import decode
from reidbench.errors import UnreadableImage

# Twelve bits in sixteen: of their high bytes alone sixteen levels remain, all of them dark.
RAMP = np.tile(np.arange(64, dtype=np.uint16) * 65, (64, 1))
SHOWN = np.rint(np.linspace(0, 255, 64))
COLOUR_TYPES = {2: 4, 3: 2, 4: 6}


def png(path: Path, channels: np.ndarray) -> Path:
    """A PNG of 16 bits a channel, written by hand: Pillow writes none with several channels."""
    height, width, count = channels.shape
    lines = b"".join(b"\0" + channels[row].astype(">u2").tobytes() for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[count], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


def tiff(
    path: Path,
    values: np.ndarray,
    *,
    order: str = "<",
    compressed: bool = False,
    kind: int = 1,
    photometric: int | None = None,
    planes: int = 1,
    extra: int | None = None,
) -> Path:
    """A TIFF of one strip, (H, W) or (H, W, channels), in either byte order, plain or compressed."""
    values = values.reshape(*values.shape[:2], -1)
    height, width, samples = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compressed else data
    bits = values.dtype.itemsize * 8
    entries: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits,) * samples),
        259: (3, (8 if compressed else 1,)),
        262: (3, (photometric if photometric is not None else 1 if samples < 3 else 2,)),
        273: (4, (0,)),
        277: (3, (samples,)),
        278: (4, (height,)),
        279: (4, (len(data),)),
        284: (3, (planes,)),
        339: (3, (kind,) * samples),
    }
    if extra is not None:
        entries[338] = (3, (extra,))
    spare_at = 8 + 2 + 12 * len(entries) + 4
    spare = b""
    for _ in range(2):  # The strip begins behind what does not fit into the entries.
        spare, rows = b"", b""
        for tag in sorted(entries):
            code, numbers = entries[tag]
            packed = struct.pack(order + ("H" if code == 3 else "I") * len(numbers), *numbers)
            if len(packed) > 4:
                packed, spare = struct.pack(order + "I", spare_at + len(spare)), spare + packed
            rows += struct.pack(order + "HHI", tag, code, len(numbers)) + packed.ljust(4, b"\0")
        entries[273] = (4, (spare_at + len(spare),))
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(entries))
    path.write_bytes(head + rows + bytes(4) + spare + data)
    return path


def with_alpha(values: np.ndarray, count: int, alpha: int = 65535) -> np.ndarray:
    return np.stack([values] * (count - 1) + [np.full_like(values, alpha)], axis=-1)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_png_of_several_channels_keeps_all_its_bits(tmp_path: Path, count: int) -> None:
    channels = np.stack([RAMP] * 3, axis=-1) if count == 3 else with_alpha(RAMP, count)
    np.testing.assert_allclose(decode(png(tmp_path / "a.png", channels), "a", 64)[0], SHOWN, atol=1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("extra", [None, 0, 1, 2])
def test_tiff_of_several_channels_keeps_all_its_bits(
    tmp_path: Path, order: str, compressed: bool, extra: int | None
) -> None:
    channels = np.stack([RAMP] * 3, axis=-1) if extra is None else with_alpha(RAMP, 4)
    path = tiff(tmp_path / "a.tif", channels, order=order, compressed=compressed, extra=extra)
    np.testing.assert_allclose(decode(path, "a", 64)[0], SHOWN, atol=1)


def test_colour_is_weighted_and_half_transparent_pixels_are_half_as_bright(tmp_path: Path) -> None:
    red, blue = np.zeros((2, 16, 16, 3), dtype=np.uint16)
    red[..., 0], blue[..., 2] = 65535, 65535
    path = png(tmp_path / "a.png", np.concatenate([red, blue, np.zeros_like(red), np.full_like(red, 65535)], axis=1))
    shown = decode(path, "a", 64)
    np.testing.assert_allclose(shown[32, [8, 24, 40, 56]], [76, 29, 0, 255], atol=1)
    values = np.full((16, 32), 65535, dtype=np.uint16)
    channels = with_alpha(values, 4)
    channels[:, :16, 3] = 32768
    channels[:4, :, :3] = 0
    assert decode(png(tmp_path / "b.png", channels), "b", 32)[20, [4, 28]].tolist() == [128, 255]


def test_strips_of_deep_colour_are_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    channels = rng.integers(0, 65536, (40, 30, 4)).astype(np.uint16)
    path = png(tmp_path / "a.png", channels)
    values = channels.astype(float)
    expected = values[..., :3] @ (0.299, 0.587, 0.114) * values[..., 3] / 65535
    np.testing.assert_allclose(deep_colour.deep_grey(path), expected, atol=2)
    monkeypatch.setattr(deep_colour, "_LARGEST", 1000)
    with pytest.raises(UnreadableImage, match="million pixels of several channels of 16 bits"):
        decode(path, "a", 64)


WIDE = np.tile(np.linspace(0, 1, 64), (64, 1))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param((WIDE * 4e9).astype(np.uint32), 1, id="uint32"),
        pytest.param((WIDE * 4e9 - 2e9).astype(np.int32), 2, id="int32"),
        pytest.param((WIDE * 60000).astype(np.uint16), 1, id="uint16"),
        pytest.param((WIDE * 60000 - 30000).astype(np.int16), 2, id="int16"),
        pytest.param((WIDE - 0.5).astype(np.float16), 3, id="float16"),
        pytest.param((WIDE * 3 - 1).astype(np.float32), 3, id="float32"),
        pytest.param(WIDE * 3 - 1, 3, id="float64"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_tiff_of_every_depth_order_and_compression(
    tmp_path: Path, values: np.ndarray, kind: int, order: str, compressed: bool, white_is_zero: bool
) -> None:
    path = tiff(
        tmp_path / "a.tif",
        values,
        order=order,
        compressed=compressed,
        kind=kind,
        photometric=0 if white_is_zero else 1,
    )
    np.testing.assert_allclose(decode(path, "a", 64)[0], SHOWN[::-1] if white_is_zero else SHOWN, atol=1)


@pytest.mark.parametrize(
    ("values", "how", "reason"),
    [
        pytest.param((WIDE * 9e9).astype(np.uint64), {}, "unsigned grey values of 64 bits", id="uint64"),
        pytest.param(WIDE.astype(np.complex64), {"kind": 6}, "complex grey values of 64 bits", id="complex"),
        pytest.param(with_alpha(RAMP, 2), {"extra": 2}, "grey values of 16 bits with 2 channels", id="LA16"),
        pytest.param(np.stack([RAMP] * 3, axis=-1), {"planes": 2}, "more than eight bits", id="planes"),
        pytest.param(np.stack([WIDE] * 3, axis=-1), {"kind": 3}, "RGB values of 64 bits", id="float colour"),
    ],
)
def test_what_no_decoder_reads_is_named_in_words(
    tmp_path: Path, values: np.ndarray, how: dict[str, int], reason: str
) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        decode(tiff(tmp_path / "a.tif", values, **how), "a", 64)


def test_other_formats_that_would_lose_bits_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 8 8 4095\n" + np.arange(192, dtype=">u2").tobytes())
    with pytest.raises(UnreadableImage, match="more than eight bits in a form of PPM"):
        decode(path, "a", 64)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "b.sgi", bpc=2)
    with pytest.raises(UnreadableImage, match="more than eight bits in a form of SGI"):
        decode(tmp_path / "b.sgi", "b", 64)
    # Grey ones keep theirs.
    path.write_bytes(b"P5 64 64 4095\n" + RAMP.astype(">u2").tobytes())
    np.testing.assert_allclose(decode(path, "a", 64)[0], SHOWN, atol=1)


def test_a_pointer_to_content_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UnreadableImage, match="a Git LFS pointer: its content was not fetched"):
        decode(tmp_path / "a.png", "a", 64)
