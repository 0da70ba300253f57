"""Attention maps as a picture: one block per pair, one row per view, with both images and their maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reidbench.image_grid import GridRow, draw_grid, save_picture, text_width
from reidbench.studies.explain import Explained, View

TILE, MARGIN, CAPTION, HEADER = 144, 6, 16, 20
#: Opacity of the map at its maximum.
COVER = 0.65


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """An image under its map.

    Args:
        image: (H, W).
        heat: (H, W), at least 0; shown as a share of its own maximum, from dark (nothing) to yellow.
    """
    peak = float(heat.max())
    share = (heat / peak if peak > 0 else np.zeros_like(heat)).clip(0, 1)
    grey = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    colour = ImageOps.colorize(
        Image.fromarray((share * 255).astype(np.uint8)), black="#3b0f70", mid="#de4968", white="#fcfdbf"
    )
    return Image.composite(colour, grey, Image.fromarray((share * COVER * 255).astype(np.uint8)))


def draw_attention(explained: Sequence[Explained], path: Path) -> None:
    """Writes a PNG, or a WebP where the name ends in ``.webp``.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    layers = list(explained[0].views[0].attention.maps)
    columns = 2 * (1 + len(layers))
    width = 2 * MARGIN + columns * (TILE + MARGIN)
    names = [name for side in ("known image", "published image") for name in (side, *map(_layer, layers))]
    rows = []
    for pair in explained:
        truth = "one patient" if pair.same else "two patients"
        title = f"{pair.why} ({truth}): {pair.image_a} and {pair.image_b}"
        rows += [GridRow(captions=[title], height=HEADER), GridRow(captions=names, height=HEADER, colour="gray")]
        for view in pair.views:
            said = f", {view.attacker}: {_verdict(view)}"
            rows.append(GridRow(_tiles(view, layers), [_shortened(view.published, said, width - 2 * MARGIN)]))
    save_picture(draw_grid(rows, tile=TILE, margin=MARGIN, caption=CAPTION, width=width), path)


def _tiles(view: View, layers: Sequence[str]) -> list[Image.Image]:
    """Both images of a pair, each followed by its maps."""
    tiles = []
    for side, image in enumerate(view.attention.images):
        heats = [np.zeros(image.shape, np.float32), *(view.attention.maps[layer][side] for layer in layers)]
        tiles += [overlay(image, heat) for heat in heats]
    return tiles


def as_data(explained: Sequence[Explained]) -> list[dict[str, Any]]:
    """The pairs and their scores as JSON types."""
    return [
        {
            "why": pair.why,
            "image_a": pair.image_a,
            "image_b": pair.image_b,
            "same_patient": pair.same,
            "views": [
                {
                    "title": view.title,
                    "score": view.attention.score,
                    "threshold": view.threshold,
                    "accepted": view.accepted,
                    "layers": list(view.attention.maps),
                }
                for view in pair.views
            ],
        }
        for pair in explained
    ]


def as_text(explained: Sequence[Explained]) -> str:
    """The same as text."""
    lines = []
    for pair in explained:
        truth = "one patient" if pair.same else "two patients"
        lines.append(f"{pair.why} ({truth}): {pair.image_a} and {pair.image_b}")
        lines += [f"  {view.title}: {_verdict(view)}" for view in pair.views]
    if explained[0].views[0].threshold is not None:
        lines.append("thresholds: 1 % false positives on validation pairs, for each attacker on the images it attacks")
    return "\n".join(lines)


def _shortened(published: str, said: str, width: int) -> str:
    # Long options of a defense are cut, the verdict never: a page shows the options elsewhere.
    kept = published
    while kept and text_width(f"{kept}…{said}" if kept != published else published + said) > width:
        kept = kept[:-1]
    return published + said if kept == published else f"{kept}…{said}"


def _layer(name: str) -> str:
    return name.rpartition("backbone.features.")[2][-TILE // 7 :]


def _verdict(view: View) -> str:
    score = f"score {view.attention.score:.2f}"
    if view.threshold is None:
        return score
    return f"{score}, threshold {view.threshold:.2f}: said to be {'one patient' if view.accepted else 'two patients'}"
