"""Every file to a grey square: the formats met in the wild, and the broken ones."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from reidbench.cohorts.check import check_dataset
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.pixels.intensity import stretch
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import UnreadableImage

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_grey_image_of_the_wanted_size_is_kept_to_the_byte(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(RAMP))
    np.testing.assert_array_equal(decode(path, "a", 64), RAMP)


def test_shrinking_averages_so_that_a_fine_grid_turns_grey(tmp_path: Path) -> None:
    grid = np.indices((256, 256)).sum(0) % 2 * 255
    small = decode(save(tmp_path / "a.png", Image.fromarray(grid.astype(np.uint8))), "a", 32)
    assert np.abs(small.astype(int) - 127.5).max() < 2


def test_aspect_is_squashed_without_padding(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.full((30, 90), 200, dtype=np.uint8)))
    np.testing.assert_array_equal(decode(path, "a", 64), 200)


def test_pitfall_20_neither_size_nor_form_nor_what_a_file_says_of_itself_tells_whose_it_is(tmp_path: Path) -> None:
    decoded = []
    for number, (width, height) in enumerate([(64, 64), (90, 30), (31, 200), (512, 480)]):
        said = PngInfo()
        said.add_text("PatientName", f"patient {number}")
        image = Image.fromarray(np.full((height, width), 90, dtype=np.uint8))
        path = save(tmp_path / f"{number}.png", image, pnginfo=said, dpi=(72 + number, 72 + number))
        decoded.append(decode(path, str(number), 32))
    assert len({picture.tobytes() for picture in decoded}) == 1


def test_sixteen_bit_spans_the_whole_range(tmp_path: Path) -> None:
    # Twelve bits used of sixteen, as detectors give them: taken at face value it would be nearly black.
    values = (RAMP.astype(np.uint16) + 100) * 8
    path = save(tmp_path / "a.png", Image.fromarray(values))
    assert Image.open(path).mode == "I;16"
    np.testing.assert_allclose(decode(path, "a", 64), RAMP * (255 / 252), atol=0.51)


def test_float_tiff_with_holes(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32) / 1000
    values[0, 0] = np.nan
    decoded = decode(save(tmp_path / "a.tif", Image.fromarray(values)), "a", 64)
    assert decoded[0, 0] == 0
    np.testing.assert_allclose(decoded[1:], RAMP[1:] * (255 / 252), atol=0.51)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (20, 20), (255, 0, 0)))
    assert abs(int(decode(path, "a", 16)[0, 0]) - 76) <= 1  # 0.299 of red


def test_transparency_lies_over_black(tmp_path: Path) -> None:
    rgba = np.full((20, 20, 4), 240, dtype=np.uint8)
    rgba[..., 3] = np.where(np.arange(20) < 10, 0, 255)
    decoded = decode(save(tmp_path / "a.png", Image.fromarray(rgba)), "a", 20)
    np.testing.assert_array_equal(decoded, np.tile(np.where(np.arange(20) < 10, 0, 240), (20, 1)))


def test_palette_gives_colours_not_indices(tmp_path: Path) -> None:
    image = Image.fromarray((RAMP > 100).astype(np.uint8))
    image.putpalette([10, 10, 10, 230, 230, 230])
    decoded = decode(save(tmp_path / "a.png", image), "a", 64)
    np.testing.assert_array_equal(decoded, np.where(RAMP > 100, 230, 10))


def test_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.fromarray((RAMP > 100).astype(np.uint8))
    image.putpalette([90, 90, 90, 230, 230, 230])
    decoded = decode(save(tmp_path / "a.png", image, transparency=0), "a", 64)
    np.testing.assert_array_equal(decoded, np.where(RAMP > 100, 230, 0))


def test_one_bit_image(tmp_path: Path) -> None:
    decoded = decode(save(tmp_path / "a.png", Image.fromarray(RAMP > 100)), "a", 64)
    np.testing.assert_array_equal(decoded, np.where(RAMP > 100, 255, 0))


def test_camera_orientation_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # lies upside down
    path = save(tmp_path / "a.png", Image.fromarray(RAMP), exif=exif)
    np.testing.assert_array_equal(decode(path, "a", 64), RAMP[::-1, ::-1])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file is empty", id="zero-byte"),
        pytest.param(b"this is a text, not an X-ray" * 20, "not an image file", id="no image"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(300), None, id="corrupt"),
    ],
)
def test_broken_files_are_named_with_a_reason(tmp_path: Path, content: bytes, reason: str | None) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        decode(path, "broken", 64)
    assert caught.value.image_id == "broken"
    assert str(tmp_path) not in str(caught.value)
    if reason:
        assert caught.value.reason == reason


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_unreadable(tmp_path: Path, ending: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    path = save(tmp_path / f"cut.{ending}", Image.fromarray(noise))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableImage, match="cut"):
        decode(path, "cut", 64)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="gone"):
        decode(tmp_path / "nothing.png", "nothing", 64)


def test_a_huge_image_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match="bomb"):
        decode(save(tmp_path / "a.png", Image.fromarray(RAMP)), "a", 64)


def test_stretch() -> None:
    np.testing.assert_allclose(stretch(np.array([3, 4, 5])), [0, 127.5, 255])
    np.testing.assert_array_equal(stretch(np.array([7, 7])), [0, 0])
    np.testing.assert_allclose(stretch(np.array([1.0, np.inf, np.nan, 3.0])), [0, 255, 0, 255])
    with pytest.raises(ValueError, match="no finite pixel"):
        stretch(np.array([np.nan]))


def _tiff(path: Path, values: np.ndarray, *, white_is_zero: bool = False, kind: int = 1, **tags: int) -> Path:
    """A plain TIFF of one strip, written by hand: Pillow writes no signed bytes and no inverted depth."""
    data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
    bits = values.dtype.itemsize * 8
    entries = {
        256: values.shape[1],
        257: values.shape[0],
        258: bits,
        259: 1,
        262: 0 if white_is_zero else 1,
        273: 0,
        277: 1,
        278: values.shape[0],
        279: len(data),
        339: kind,
        **{int(name.removeprefix("tag")): value for name, value in tags.items()},
    }
    offset = 8 + 2 + 12 * len(entries) + 4
    entries[273] = offset
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + rows + bytes(4) + data)
    return path


WIDE = RAMP.astype(np.float64) / 252


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param((WIDE * 60000).astype(np.uint16), 1, id="uint16"),
        pytest.param((WIDE * 60000 - 30000).astype(np.int16), 2, id="int16"),
        pytest.param((WIDE * 4e9).astype(np.uint32), 1, id="uint32"),
        pytest.param((WIDE * 4e9 - 2e9).astype(np.int32), 2, id="int32"),
        pytest.param((WIDE * 254 - 127).astype(np.int8), 2, id="int8"),
        pytest.param((WIDE * 3 - 1).astype(np.float32), 3, id="float32"),
    ],
)
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_tiff_of_every_depth_and_sign(tmp_path: Path, values: np.ndarray, kind: int, white_is_zero: bool) -> None:
    expected = WIDE * 255
    decoded = decode(_tiff(tmp_path / "a.tif", values, white_is_zero=white_is_zero, kind=kind), "a", 64)
    np.testing.assert_allclose(decoded, 255 - expected if white_is_zero else expected, atol=1.1)


def test_white_is_zero_of_eight_bits_is_inverted_once(tmp_path: Path) -> None:
    np.testing.assert_array_equal(decode(_tiff(tmp_path / "a.tif", RAMP, white_is_zero=True), "a", 64), 255 - RAMP)


@pytest.mark.parametrize("deep", [False, True])
def test_tiff_orientation_is_obeyed(tmp_path: Path, deep: bool) -> None:
    values = RAMP.astype(np.uint16) * 200 if deep else RAMP
    decoded = decode(_tiff(tmp_path / "a.tif", values, tag274=3), "a", 64)
    np.testing.assert_allclose(decoded, RAMP[::-1, ::-1] * (255 / 252 if deep else 1), atol=0.51)
    turned = decode(_tiff(tmp_path / "b.tif", values, tag274=6), "b", 64)
    np.testing.assert_allclose(turned, np.rot90(RAMP, -1) * (255 / 252 if deep else 1), atol=0.51)


@pytest.mark.parametrize("ending", ["tif", "gif", "png", "webp"])
def test_several_frames_are_no_image(tmp_path: Path, ending: str) -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(RAMP.T.copy())]
    path = save(tmp_path / f"a.{ending}", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImage, match="it holds 2 frames or pages, not one image"):
        decode(path, "a", 64)


def test_a_smaller_version_in_a_tiff_is_no_second_page(tmp_path: Path) -> None:
    small = Image.fromarray(RAMP[::4, ::4].copy())
    small.encoderinfo = {"tiffinfo": {254: 1}}
    path = save(tmp_path / "a.tif", Image.fromarray(RAMP), save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode(path, "a", 64), RAMP)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "I;16", "F"])
def test_large_images_are_read_in_strips_as_whole_ones(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (33, 44), dtype=np.uint8)
    values = np.kron(values, np.ones((6, 6), dtype=np.uint8))
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 90)
    elif mode == "F":
        image = Image.fromarray(values.astype(np.float32))
    else:
        image = Image.fromarray(values).convert(mode)
    path = save(tmp_path / "a.tif", image)
    whole = decode(path, "a", 16).astype(int)
    monkeypatch.setattr("reidbench.cohorts.pixels.decode._STRIP", 5000)
    strips = decode(path, "a", 16).astype(int)
    difference = np.abs(strips - whole)
    if mode in ("I;16", "F"):
        # Averaged over squares of pixels first, which on this noise of small squares is not quite the same.
        assert difference.mean() < 4
        assert np.corrcoef(strips.ravel(), whole.ravel())[0, 1] > 0.98
    else:
        assert difference.max() == 0


def test_memory_of_a_large_image_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Four million pixels of 16 bits: in double precision one copy alone has 32 MB.
    monkeypatch.setattr("reidbench.cohorts.pixels.decode._STRIP", 2**16)
    values = np.zeros((2000, 2000), dtype=np.uint16)
    values[:, 1000:] = 4000
    path = save(tmp_path / "a.tif", Image.fromarray(values))
    del values
    tracemalloc.start()
    decoded = decode(path, "a", 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (decoded[:, :7] == 0).all()
    assert (decoded[:, 9:] == 255).all()
    assert peak < 25e6


def test_an_image_that_shows_nothing_is_named_and_left_out(tmp_path: Path) -> None:
    for number, value in enumerate((0, 90, 255)):
        Image.new("L", (40, 40), value).save(tmp_path / f"{number}.png")
    Image.fromarray(RAMP).save(tmp_path / "3.png")
    (tmp_path / "manifest.csv").write_text("path,patient_id\n0.png,a\n1.png,a\n2.png,b\n3.png,c\n")
    report = check_dataset(Folder(root=tmp_path), size=16, cache=tmp_path / "cache")
    assert report.unreadable == {
        "0.png": "all its pixels have one value, 0",
        "1.png": "all its pixels have one value, 90",
        "2.png": "all its pixels have one value, 255",
    }
    assert list(report.cohort.frame["image_id"]) == ["3.png"]
