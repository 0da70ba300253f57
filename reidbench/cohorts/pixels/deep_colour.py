"""Colour and transparency of 16 bits a channel (RGB48, RGBA64, LA16 of PNG and TIFF) as grey values of 16 bits.

Pillow gives the high byte of each channel and drops the low one: a detector's 12 bits come out black. Its decoders are
used twice, once as if the bytes of a value stood the other way round, which gives the low bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reidbench.cohorts.pixels.tiff import BITS, PLANES

# ITU-R 601, in 65536 parts, as Pillow rounds it.
_LUMA = (19595, 38470, 7471)
_WHITE = 65535
# Two images of four bytes a pixel are in memory at once.
_LARGEST = 64_000_000
# Kinds of stored pixels: the mode they are decoded to, and as which kind they give the high and the low bytes.
_ORDERS = {"B": ("B", "L"), "L": ("L", "B"), "N": ("L", "B")}
_KINDS = {"RGB;16": "RGB", "RGBX;16": "RGB", "RGBA;16": "RGBA", "RGBa;16": "RGBA"}


def is_deep_colour(file: Image.Image) -> bool:
    """Whether an opened file, not yet decoded, has several channels of 16 bits.

    Raises:
        ValueError: it has them in a form of which only eight bits would be read.
    """
    raw = {_raw_mode(tile) for tile in getattr(file, "tile", ())}
    deep = {kind for kind in raw if ";16" in kind and not kind.startswith(("I;", "BGR"))}
    separate = file.format == "TIFF" and getattr(file, "tag_v2", {}).get(PLANES) == 2 and _bits(file) > 8
    others = file.format == "SGI" and any(tile.codec_name == "SGI16" for tile in file.tile)  # type: ignore[attr-defined]
    others |= file.format == "PPM" and file.mode != "I" and _most(file) > 255
    if not deep and not separate and not others:
        return False
    if separate or deep != raw or not all(_readable(kind) for kind in deep) or file.format not in ("PNG", "TIFF"):
        raise ValueError(f"it has channels of more than eight bits in a form of {file.format} that is not read")
    return True


def deep_grey(path: Path) -> NDArray[np.uint16]:
    """The luma of a file for which :func:`is_deep_colour` is true, laid over black: (H, W) uint16."""
    (high, kind), (low, _) = _bytes(path, 0), _bytes(path, 1)
    grey = np.empty((high.height, high.width), dtype=np.uint16)
    step = max(1, 2**22 // max(1, high.width))
    for top in range(0, high.height, step):
        box = (0, top, high.width, min(top + step, high.height))
        grey[top : box[3]] = _grey(np.asarray(high.crop(box)), np.asarray(low.crop(box)), kind)
    return grey


def _grey(high: NDArray[np.uint8], low: NDArray[np.uint8], kind: str) -> NDArray[np.uint16]:
    if kind.startswith("LA;"):
        # Decoded as four channels of a byte each.
        luma = _joined(high[..., 0], high[..., 1])
        return _over_black(luma, _joined(high[..., 2], high[..., 3]))
    values = _joined(high, low)
    luma = np.asarray((values[..., :3] @ np.array(_LUMA, dtype=np.uint64) + 0x8000) >> 16, dtype=np.uint64)
    return _over_black(luma, values[..., 3]) if kind.startswith("RGBA;") else luma.astype(np.uint16)


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.asarray(high.astype(np.uint64) << np.uint64(8) | low.astype(np.uint64), dtype=np.uint64)


def _over_black(luma: NDArray[np.uint64], alpha: NDArray[np.uint64]) -> NDArray[np.uint16]:
    return ((luma * alpha + _WHITE // 2) // _WHITE).astype(np.uint16)


def _bytes(path: Path, which: int) -> tuple[Image.Image, str]:
    """The high (0) or the low (1) bytes of each channel, turned as the camera was held, and the kind of the file."""
    with Image.open(path) as file:
        if file.width * file.height > _LARGEST:
            raise ValueError(
                f"it has {file.width * file.height / 1e6:,.0f} million pixels of several channels of 16 bits; at most "
                f"{_LARGEST / 1e6:,.0f} million are read"
            )
        tiles = []
        for tile in file.tile:  # type: ignore[attr-defined]
            kind = _raw_mode(tile)
            base, order = kind[:-1], kind[-1]
            if base == "LA;16":
                file._mode, chosen = "RGBA", "RGBA"
            else:
                file._mode = _KINDS[base]
                # Premultiplied channels are the colour over black already: no decoder may divide them.
                chosen = f"{base.replace('RGBa', 'RGBA')}{_ORDERS[order][which]}"
            args = (chosen, *tile.args[1:]) if isinstance(tile.args, tuple) else chosen
            tiles.append(tile._replace(args=args))
        file.tile = tiles  # type: ignore[attr-defined]
        file.info.pop("transparency", None)
        file.load()
        return ImageOps.exif_transpose(file), kind


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _readable(kind: str) -> bool:
    return kind[:-1] == "LA;16" or (kind[:-1] in _KINDS and kind[-1] in _ORDERS)


def _bits(file: Any) -> int:
    bits = file.tag_v2.get(BITS, (1,))
    return int(max(bits) if isinstance(bits, tuple) else bits)


def _most(file: Any) -> int:
    """The largest value of a PPM, as its header says."""
    args = file.tile[0].args
    found = args[-1] if isinstance(args, tuple) else 255
    return int(found) if isinstance(found, int) else 255
