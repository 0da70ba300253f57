"""Grids of images: where tiles lie, and files that are written whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from reidbench.errors import ReidbenchError
from reidbench.image_grid import GridRow, draw_grid, save_picture


def test_tiles_lie_below_their_captions_row_by_row():
    tiles = [np.full((8, 8), grey, np.uint8) for grey in (10, 20, 30)]
    sheet = draw_grid(
        [GridRow(captions=["a title"], height=20), GridRow(tiles[:2], ["a"]), GridRow(tiles[2:])],
        tile=16, margin=4, caption=12,
    )  # fmt: skip
    assert (sheet.mode, sheet.size) == ("L", (4 + 2 * 20, 4 + 20 + 2 * 32))
    pixels = np.asarray(sheet)
    assert set(pixels[36:52, 4:20].flat) == {10}
    assert set(pixels[36:52, 24:40].flat) == {20}
    assert set(pixels[68:84, 4:20].flat) == {30}
    assert set(pixels[68:84, 24:40].flat) == {255}
    assert pixels[:24].min() < 255, "the title is not drawn"


def test_colour_is_kept_and_a_picture_is_written_whole_or_not_at_all(tmp_path):
    sheet = draw_grid([GridRow([Image.new("RGB", (4, 4), "red"), np.zeros((4, 4), np.uint8)])], tile=4, margin=0)
    save_picture(sheet, tmp_path / "made" / "sheet.png")
    assert Image.open(tmp_path / "made" / "sheet.png").getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(ReidbenchError, match="cannot write the contact sheet"):
        save_picture(sheet, tmp_path / "nowhere" / "sheet.png", what="contact sheet", make_folder=False)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
