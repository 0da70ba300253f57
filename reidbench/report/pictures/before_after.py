"""A picture of a few phantoms before and after a defense."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from reidbench.cohorts.base import Dataset, remap
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.fitted import BaseFittedDefense, FitData
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench.image_grid import GridRow, draw_grid, save_picture

SIZE = 192
# A cohort defense needs a whole set: this many images are published, two of each patient, and the first ones are shown.
PUBLISHED, SHOWN = 48, 6
# Number and size of the phantoms that a fitted defense is trained on: enough to see its effect.
LEARNED_FROM, FITTED_SIZE = 48, 64
_MARGIN, _CAPTION = 6, 14
_SEED = 20_220


def draw_sheet(defense: BaseDefense, dataset: Dataset, path: Path) -> None:
    """Writes a PNG: originals above, published images below, two images of a patient side by side.

    A fitted defense is first fitted on a few images of other patients; the caption says so.

    Raises:
        ReidbenchError: the defense refuses these images, or the file cannot be written.
        PluginError: the defense broke a promise.
    """
    frame = dataset.source().frame
    frame = frame[frame.groupby("patient_id")["image_id"].transform("size") > 1]
    fitted = ""
    if isinstance(defense, BaseFittedDefense):
        defense = _fit(defense, dataset, frame)
        frame = frame[frame["split"] == "test"]
        fitted = f", fitted on {LEARNED_FROM} phantoms only"
    frame = frame.groupby("patient_id", sort=False).head(2).head(PUBLISHED).reset_index(drop=True)
    before = dataset.read(frame, SIZE)
    after = release(defense, before, frame["image_id"].tolist(), remap(frame["patient_id"]), seed=_SEED)
    options = " ".join(f"{name}={value}" for name, value in defense.model_dump(mode="json").items())
    rows = [
        GridRow(list(pixels[:SHOWN]), [caption])
        for caption, pixels in (("original", before), (f"{defense.name} {options}{fitted}", after))
    ]
    width = _MARGIN + SHOWN * (SIZE + _MARGIN)
    save_picture(draw_grid(rows, tile=SIZE, margin=_MARGIN, caption=_CAPTION, width=width), path)


def _fit(defense: BaseFittedDefense, dataset: Dataset, frame: pd.DataFrame) -> BaseFittedDefense:
    train = frame[frame["split"] == "train"].head(LEARNED_FROM).reset_index(drop=True)
    labels = train[list(dataset.source().labels)].to_numpy(dtype=np.float32)
    data = FitData(dataset.read(train, FITTED_SIZE), remap(train["patient_id"]), labels)
    with tempfile.TemporaryDirectory() as folder:
        return fit_defense(defense, data, seed=_SEED, work_dir=Path(folder))[0]
