"""One image file to one grey square. Every format and colour mode ends here, so that all datasets decode alike.

Colour becomes luma (ITU-R 601). Transparency is laid over black, the colour of air in an X-ray. Eight-bit files keep
their values. Deeper ones (16-bit, integer, float) say nowhere which of their values is black or white, so each image's
own lowest and highest become 0 and 255. The image is then squashed to a square with an antialiased triangle filter:
an aspect ratio or a padded border would identify a source, which is no biometric attack.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reidbench.cohorts.pixels.intensity import stretch
from reidbench.errors import ReidbenchError, UnreadableImage
from reidbench.images import round_grey

#: Part of a store's key: to be raised with any change of what the functions here return.
VERSION = 1

_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


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

            grey = Image.fromarray(read_dicom(path))
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
    """Whether a file has DICOM's mark behind its preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def squash(grey: Image.Image, size: int) -> NDArray[np.uint8]:
    """A grey image (mode L, or F in [0, 255]) as a square, aspect not kept, (size, size) uint8."""
    if grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    if grey.mode == "L":
        return np.array(grey)
    return round_grey(np.asarray(grey))


def _open(path: Path) -> Image.Image:
    with Image.open(path) as file:
        file.load()
        image: Image.Image = file
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
        if image.mode in _DEEP:
            return Image.fromarray(stretch(np.asarray(image)))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
        elif image.mode == "P":
            image = image.convert("RGB")
        return image.convert("L")


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # Pillow puts the whole path into its message; the image is named already.
    return "not an image file" if "cannot identify image file" in text else text[:120]
