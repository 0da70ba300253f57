"""Attention maps as a picture: a block a pair, a line a view, both images with their maps beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from reidbench.report.pictures.save import save_picture
from reidbench.studies.explain import Explained, View

TILE, MARGIN, CAPTION, HEADER = 144, 6, 16, 20
#: How much of a picture its map covers where it is strongest.
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
    line, step = TILE + CAPTION + MARGIN, TILE + MARGIN
    height = MARGIN + sum(2 * HEADER + len(pair.views) * line for pair in explained)
    sheet = Image.new("RGB", (2 * MARGIN + columns * step, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for pair in explained:
        truth = "one patient" if pair.same else "two patients"
        draw.text((MARGIN, top), f"{pair.why} ({truth}): {pair.image_a} and {pair.image_b}", fill="black")
        for column in range(columns):
            side, layer = divmod(column, 1 + len(layers))
            name = ("known image", "published image")[side] if layer == 0 else _layer(layers[layer - 1])
            draw.text((MARGIN + column * step, top + HEADER), name, fill="gray")
        top += 2 * HEADER
        for view in pair.views:
            said = f", {view.attacker}: {_verdict(view)}"
            draw.text((MARGIN, top), _shortened(view.published, said, draw, sheet.width - 2 * MARGIN), fill="black")
            for column in range(columns):
                side, layer = divmod(column, 1 + len(layers))
                seen = view.attention
                image = seen.images[side]
                heat = np.zeros(image.shape, np.float32) if layer == 0 else seen.maps[layers[layer - 1]][side]
                tile = overlay(image, heat).resize((TILE, TILE), Image.Resampling.BICUBIC)
                sheet.paste(tile, (MARGIN + column * step, top + CAPTION))
            top += line
    save_picture(sheet, path)


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
    """The same for a person."""
    lines = []
    for pair in explained:
        truth = "one patient" if pair.same else "two patients"
        lines.append(f"{pair.why} ({truth}): {pair.image_a} and {pair.image_b}")
        lines += [f"  {view.title}: {_verdict(view)}" for view in pair.views]
    if explained[0].views[0].threshold is not None:
        lines.append("thresholds: 1 % false positives on validation pairs, each attacker's own in what it attacks")
    return "\n".join(lines)


def _shortened(published: str, said: str, draw: ImageDraw.ImageDraw, width: int) -> str:
    # A defense of many options is cut, and what is said of it is not: a page has the options elsewhere.
    kept = published
    while kept and draw.textlength(f"{kept}…{said}" if kept != published else published + said) > width:
        kept = kept[:-1]
    return published + said if kept == published else f"{kept}…{said}"


def _layer(name: str) -> str:
    return name.rpartition("backbone.features.")[2][-TILE // 7 :]


def _verdict(view: View) -> str:
    score = f"score {view.attention.score:.2f}"
    if view.threshold is None:
        return score
    return f"{score}, threshold {view.threshold:.2f}: said to be {'one patient' if view.accepted else 'two patients'}"
