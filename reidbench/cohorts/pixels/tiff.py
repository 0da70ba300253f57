"""TIFF files that Pillow could read and does not, and in words those that it cannot.

Pillow looks up what a file's tags say in a table and knows few depths in which white is zero, no floating-point values
of 16 or 64 bits, and no unsigned ones of 32 bits with the highest byte first. All of these are read by decoders that it
has for others.
"""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import OPEN_INFO, ImageFileDirectory_v2

#: Modes of one channel with more than eight bits.
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
#: Tags, and what they say.
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, PLANES, SAMPLE_FORMAT = 254, 258, 262, 277, 284, 339
WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_KINDS = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "floating-point", 5: "complex", 6: "complex"}
_PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab", 34892: "raw"}
# libtiff gives values in the order of this machine, whatever the file's; Pillow knows that of 16 bits alone.
_BY_LIBTIFF = {"F;32BF": "F;32F", "F;64BF": "F;64F", "I;32B": "I;32N", "I;32BS": "I;32S", "I;16BS": "I;16S"}


def read_more_kinds() -> None:
    """Has Pillow open these files. It must be called once."""
    for order, deep in ((b"II", ("I;32N", "F;64F", "I;16")), (b"MM", ("I;32B", "F;64BF", "I;16B"))):
        whole, double, half = deep
        OPEN_INFO.setdefault((order, _BLACK_IS_ZERO, (_UNSIGNED,), 1, (32,), ()), ("I", whole))
        OPEN_INFO.setdefault((order, _BLACK_IS_ZERO, (_FLOAT,), 1, (64,), ()), ("F", double))
        # As whole numbers of 16 bits, which :func:`values_of` takes for what they are.
        OPEN_INFO.setdefault((order, _BLACK_IS_ZERO, (_FLOAT,), 1, (16,), ()), (half, half))
    for (order, photometric, *rest), modes in list(OPEN_INFO.items()):
        if photometric == _BLACK_IS_ZERO and modes[0] in ("L", *DEEP):
            # A key has as many parts as the one it is made from, which no type says.
            OPEN_INFO.setdefault((order, WHITE_IS_ZERO, *rest), modes)  # type: ignore[arg-type]


def mend_order(file: Any) -> None:
    """Has an opened, compressed file of high bytes first decoded in the order that its decoder gives."""
    if sys.byteorder == "little":
        file.tile = [
            tile._replace(args=(_BY_LIBTIFF.get(tile.args[0], tile.args[0]), *tile.args[1:]))
            if tile.codec_name == "libtiff"
            else tile
            for tile in file.tile
        ]


def values_of(image: Image.Image, tags: dict[int, Any]) -> NDArray[Any] | None:
    """The values of an image that has more than eight bits, or signs; None for others.

    Args:
        image: decoded.
        tags: of the TIFF; none for other formats.
    """
    kind, bits = _first(tags.get(SAMPLE_FORMAT), _UNSIGNED), _first(tags.get(BITS), 8)
    if image.mode in DEEP:
        values = np.asarray(image)
        if (kind, bits) == (_FLOAT, 16) and values.dtype.itemsize == 2:
            return values.view(values.dtype.str.replace("u", "f"))
        # Pillow reads 32 bits as signed.
        return values.view(np.uint32) if (image.mode, kind, bits) == ("I", _UNSIGNED, 32) else values
    if image.mode == "L" and tags and (kind, bits) == (_SIGNED, 8):
        return np.asarray(image).view(np.int8)
    return None


def why_not_read(stream: BinaryIO) -> str | None:
    """Why a TIFF cannot be opened, in words; None for a file that is no TIFF, or too damaged to be asked."""
    stream.seek(0)
    head = stream.read(16)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        tags = ImageFileDirectory_v2(head if b"+" in head[:4] else head[:8])
        stream.seek(tags.next)
        tags.load(stream)
        bits, kind = _first(tags.get(BITS), 1), _first(tags.get(SAMPLE_FORMAT), _UNSIGNED)
        samples, colour = int(tags.get(SAMPLES, 1)), _PHOTOMETRICS.get(int(tags.get(PHOTOMETRIC, 1)), "other")
    except Exception:
        return None
    if samples > 1 and int(tags.get(PLANES, 1)) == 2:
        return f"a TIFF with {samples} {colour} channels of {bits} bits one after the other, which is not read"
    channels = "" if samples == 1 else f" with {samples} channels"
    return f"a TIFF of {_KINDS.get(kind, 'other')} {colour} values of {bits} bits{channels}, which is not read"


def _first(value: Any, default: int) -> int:
    if isinstance(value, tuple):
        value = value[0] if value else None
    return default if value is None else int(value)
