"""Pictures made of images in rows and columns with captions, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reidbench.errors import ReidbenchError
from reidbench.files import replacing

#: Of the WebP encoder; captions of ten pixels still read well.
QUALITY = 80


@dataclass(frozen=True, eq=False)
class GridRow:
    """One row of a grid.

    Attributes:
        tiles: images, (H, W) uint8 or of Pillow; none for a row of text.
        captions: texts above the columns, from the left; the last may run on to the right edge.
        height: of the captions in pixels; None for that of the grid.
        colour: of the captions.
    """

    tiles: Sequence[NDArray[np.uint8] | Image.Image] = ()
    captions: Sequence[str] = ()
    height: int | None = None
    colour: str = "black"


def draw_grid(
    rows: Sequence[GridRow],
    *,
    tile: int,
    margin: int,
    caption: int = 0,
    width: int | None = None,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """Draws rows below each other on white, each tile below its caption.

    Args:
        rows: of any length.
        tile: width and height of a tile in pixels; images of another size are resized.
        margin: around and between tiles, in pixels.
        caption: height of a row's captions in pixels, unless the row has its own.
        width: of the picture in pixels; None for that of the longest row.
        resample: how images are resized.

    Returns:
        Grey if all tiles are, else RGB.
    """
    step = tile + margin
    drawn = [[_picture(one, tile, resample) for one in row.tiles] for row in rows]
    mode = "RGB" if any(one.mode != "L" for row in drawn for one in row) else "L"
    heights = [caption if row.height is None else row.height for row in rows]
    height = margin + sum(above + (step if tiles else 0) for above, tiles in zip(heights, drawn))
    sheet = Image.new(mode, (width or margin + step * max(map(len, drawn)), height), "white")
    draw = ImageDraw.Draw(sheet)
    top = margin
    for row, above, tiles in zip(rows, heights, drawn):
        for column, text in enumerate(row.captions):
            draw.text((margin + column * step, top), text, fill=row.colour)
        for column, picture in enumerate(tiles):
            sheet.paste(picture, (margin + column * step, top + above))
        top += above + (step if tiles else 0)
    return sheet


def text_width(text: str) -> float:
    """Width of a caption in pixels."""
    return ImageDraw.Draw(Image.new("L", (1, 1))).textlength(text)


def save_picture(picture: Image.Image, path: Path, *, what: str = "picture", make_folder: bool = True) -> None:
    """Writes a PNG, or a WebP where the name ends in ``.webp``.

    Args:
        what: names the picture in the error.
        make_folder: makes the folder where it is missing.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    try:
        with replacing(path, make_folder=make_folder) as stream:
            if path.suffix.lower() == ".webp":
                picture.save(stream, format="WEBP", quality=QUALITY, method=6)
            else:
                picture.save(stream, format="PNG")
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot write the {what}: {error.strerror}") from error


def _picture(image: NDArray[np.uint8] | Image.Image, tile: int, resample: Image.Resampling) -> Image.Image:
    made = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    return made if made.size == (tile, tile) else made.resize((tile, tile), resample)
