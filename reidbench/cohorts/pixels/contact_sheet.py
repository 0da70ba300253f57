"""A contact sheet: one row per patient, with the images of the patient side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Cohort
from reidbench.image_grid import GridRow, draw_grid, save_picture

_PATIENTS, _IMAGES = 8, 5
_TILE, _MARGIN, _CAPTION = 160, 6, 14


def draw_contact_sheet(cohort: Cohort, path: Path, *, patients: int = _PATIENTS, images: int = _IMAGES) -> None:
    """Writes a PNG with a row for each of some patients and at most ``images`` images in it, in table order.

    Patients with several images come first, spread evenly over the table, so that a person sees what links them.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    rows = [_spread(cohort.frame.index[cohort.frame["patient"] == p], images) for p in _choose(cohort.frame, patients)]
    grid = [
        GridRow([np.asarray(cohort.pixels[i]) for i in row], [_caption(cohort.frame.iloc[i]) for i in row])
        for row in rows
    ]
    sheet = draw_grid(grid, tile=_TILE, margin=_MARGIN, caption=_CAPTION)
    save_picture(sheet, path, what="contact sheet", make_folder=False)


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
