"""One image file to one grey square. Every format and colour mode ends here, so that all datasets decode alike.

Colour becomes luma (ITU-R 601). Transparency is laid over black, the colour of air in an X-ray. Eight-bit files keep
their values. Deeper ones (16-bit, integer, float) say nowhere which of their values is black or white, so each image's
own lowest and highest become 0 and 255; a TIFF in which white is zero is inverted. The image is then squashed to a
square with an antialiased triangle filter: an aspect ratio or a padded border would identify a source, which is no
biometric attack.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from reidbench.cohorts.pixels import tiff
from reidbench.cohorts.pixels.deep_colour import deep_grey, is_deep_colour
from reidbench.cohorts.pixels.intensity import stretched
from reidbench.errors import ReidbenchError, UnreadableImage
from reidbench.images import round_grey

#: Part of a store's key: to be raised with any change of what the functions here return.
VERSION = 4

# Pixels that are converted at once: an image of 169 million took 6.7 GB.
_STRIP = 2**24
_LFS = b"version https://git-lfs.github.com/"


def decode(path: Path, image_id: str, size: int) -> NDArray[np.uint8]:
    """Decodes a file, Pillow's formats and DICOM, to (size, size) uint8.

    Raises:
        UnreadableImage: the file is gone, empty, cut short, or no image.
        ReidbenchError: the file must not be read, or a DICOM decoder is not installed.
    """
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage(image_id, "the file is empty")
        if is_dicom(path):
            from reidbench.cohorts.pixels.dicom import read_dicom  # needs the extra `dicom`

            grey = Image.fromarray(read_dicom(path, most=_STRIP))
        else:
            grey = _open(path)
        return squash(grey, size)
    except ReidbenchError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage(image_id, "the file is gone") from error
    except PermissionError as error:
        # Not the image's fault: were it left out, it would stay out after the permission is mended.
        raise ReidbenchError(f"{path}: permission denied") from error
    except Exception as error:
        # A decoder meets hostile bytes and raises whatever it likes; all of it means the same.
        raise UnreadableImage(image_id, _reason(error)) from error


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark behind its preamble, or begins with DICOM's first elements without one."""
    with path.open("rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        return True
    # Group 2 or 8 with a low element, little endian, then a value representation or an even, short length.
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    if len(head) < 16 or group not in (2, 8) or element > 0x0100:
        return False
    length = int.from_bytes(head[4:8], "little")
    return (head[4:6].isalpha() and head[4:6].isupper()) or (length % 2 == 0 and length < 0x200)


def squash(grey: Image.Image, size: int) -> NDArray[np.uint8]:
    """A grey image (mode L, or F in [0, 255]) as a square, aspect not kept, (size, size) uint8."""
    if grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    if grey.mode == "L":
        return np.array(grey)
    return round_grey(np.asarray(grey))


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # What is too large is refused; the rest is read in strips.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            file = Image.open(path)
        except UnidentifiedImageError:
            with path.open("rb") as stream:
                pointer = stream.read(len(_LFS)) == _LFS
                reason = "a Git LFS pointer: its content was not fetched" if pointer else tiff.why_not_read(stream)
            if reason is None:
                raise
            raise ValueError(reason) from None
        with file:
            frames = _frames(file)
            if frames > 1:
                raise ValueError(f"it holds {frames} frames or pages, not one image")
            if is_deep_colour(file):
                return Image.fromarray(stretched(deep_grey(path), most=_STRIP))
            # TIFF's tags are of the file, and gone once the image is turned.
            tags = dict(getattr(file, "tag_v2", {}))
            tiff.mend_order(file)
            file.load()
            image = ImageOps.exif_transpose(file)
            values = tiff.values_of(image, tags)
            if values is not None:
                grey = stretched(values, most=_STRIP)
                return Image.fromarray(255 - grey if tags.get(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO else grey)
            return _luma(image)


def _frames(file: Image.Image) -> int:
    """How many images a file holds; smaller versions and a camera's previews of one don't count."""
    count = getattr(file, "n_frames", 1)
    if count == 1 or file.format == "MPO":
        return 1
    if file.format != "TIFF":
        return int(count)
    whole = 0
    for number in range(count):
        file.seek(number)
        whole += not int(file.tag_v2.get(tiff.SUBFILE, 0)) & 1  # type: ignore[attr-defined]
    file.seek(0)
    return whole


def _luma(image: Image.Image) -> Image.Image:
    """An eight-bit image of any colours as grey, strip by strip: copies of a large one would fill the memory."""
    if image.mode == "L" and not image.has_transparency_data:
        return image
    height = max(1, _STRIP // max(1, image.width))
    if height >= image.height:
        return _luma_of(image)
    grey = Image.new("L", image.size)
    for top in range(0, image.height, height):
        grey.paste(_luma_of(image.crop((0, top, image.width, min(top + height, image.height)))), (0, top))
    return grey


def _luma_of(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    return image.convert("L")


def _reason(error: Exception) -> str:
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    text = text.splitlines()[0]
    # Pillow puts the whole path into its message; the image is named already.
    return "not an image file" if "cannot identify image file" in text else text[:120]


tiff.read_more_kinds()
