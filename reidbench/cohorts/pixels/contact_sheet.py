"""A contact sheet: patients below each other, their images beside each other, for a person's eye."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from reidbench.cohorts.base import Cohort
from reidbench.errors import ReidbenchError

_PATIENTS, _IMAGES = 8, 5
_TILE, _MARGIN, _CAPTION = 160, 6, 14


def draw_contact_sheet(cohort: Cohort, path: Path, *, patients: int = _PATIENTS, images: int = _IMAGES) -> None:
    """Writes a PNG with a row for each of some patients and at most ``images`` images in it, in table order.

    Patients with several images come first, spread evenly over the table, so that a person sees what links them.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    rows = [_spread(cohort.frame.index[cohort.frame["patient"] == p], images) for p in _choose(cohort.frame, patients)]
    step = _TILE + _MARGIN
    width = _MARGIN + step * max(map(len, rows))
    sheet = Image.new("L", (width, _MARGIN + len(rows) * (step + _CAPTION)), 255)
    draw = ImageDraw.Draw(sheet)
    for line, row in enumerate(rows):
        top = _MARGIN + line * (step + _CAPTION)
        for place, index in enumerate(row):
            left = _MARGIN + place * step
            draw.text((left, top), _caption(cohort.frame.iloc[index]), fill=0)
            tile = Image.fromarray(np.asarray(cohort.pixels[index])).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (left, top + _CAPTION))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        sheet.save(temporary, format="PNG")
        temporary.replace(path)
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot write the contact sheet: {error.strerror}") from error


def _choose(frame: pd.DataFrame, wanted: int) -> list[int]:
    sizes = frame.groupby("patient").size()
    several, alone = sizes.index[sizes > 1], sizes.index[sizes == 1]
    chosen = _spread(several, wanted)
    return [*chosen, *_spread(alone, wanted - len(chosen))]


def _spread(values: pd.Index, wanted: int) -> list[int]:
    """At most so many of the values, evenly spaced, with the first and the last."""
    if len(values) <= wanted:
        return [int(value) for value in values]
    return [int(values[place]) for place in np.linspace(0, len(values) - 1, wanted).round().astype(int)]


def _caption(row: pd.Series) -> str:
    name = Path(str(row["image_id"])).stem
    short = name if len(name) <= 18 else f"{name[:7]}~{name[-10:]}"
    return f"{short} {row['split']}"
