"""Example images beside a record: a few test images before and after the defense, in one small file.

The file ``NAME-ID.examples.webp`` holds one row of originals above one row of the published images, without gaps or
captions. It is written when a run is made, for datasets of generated patients only, so that a page can show what was
published after the weights of a fitted defense have left the cache.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from reidbench.cohorts.base import Cohort
from reidbench.files import write_file

SUFFIX = ".examples.webp"
#: How many patients are shown, and how many images of each.
PATIENTS, IMAGES_PER_PATIENT = 3, 2
#: Of the WebP encoder: six noisy images of 64² pixels, before and after, take about 12 kB.
QUALITY = 85

Pixels = NDArray[np.uint8]


def example_rows(part: Cohort) -> NDArray[np.int64]:
    """Row numbers of the images to show: two of each of the first patients with at least two images.

    Returns:
        (N,) with N at most 6; where no patient has two images, the first rows.
    """
    patients = part.frame["patient"].to_numpy()
    counts = np.bincount(patients)
    several = np.flatnonzero(counts >= IMAGES_PER_PATIENT)[:PATIENTS]
    chosen = [np.flatnonzero(patients == patient)[:IMAGES_PER_PATIENT] for patient in several]
    if chosen:
        return np.concatenate(chosen).astype(np.int64)
    return np.arange(min(len(part), PATIENTS * IMAGES_PER_PATIENT))


def keep_examples(part: Cohort, published: Pixels, path: Path) -> None:
    """Writes the example images of a release, whole or not at all; does nothing unless the patients are generated.

    Args:
        part: the originals of the test split.
        published: (N, S, S) uint8, what is published of them, in the same order.
        path: the file, which ends in :data:`SUFFIX`; its folder is made if it does not exist.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    if not part.generated:
        return
    rows = example_rows(part)
    # One image beside the other: (N, S, S) to (S, N * S).
    before, after = (np.concatenate(list(np.asarray(images[rows])), axis=1) for images in (part.pixels, published))
    sheet = Image.fromarray(np.concatenate([before, after]))
    write_file(path, lambda stream: sheet.save(stream, format="WEBP", quality=QUALITY, method=6))


def read_examples(path: Path, size: int) -> tuple[Pixels, Pixels] | None:
    """The example images beside a record.

    Args:
        path: the file.
        size: width and height of the record's images in pixels.

    Returns:
        Originals and published images, (N, S, S) uint8 each, as the WebP decoder gives them; None if there is no such
        file, or it holds no images of this size.
    """
    try:
        with Image.open(path) as opened:
            sheet = np.asarray(opened.convert("L"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    height, width = sheet.shape
    if height != 2 * size or width % size or not width:
        return None
    before, after = (
        np.stack(np.split(np.ascontiguousarray(row), width // size, axis=1)) for row in (sheet[:size], sheet[size:])
    )
    return before, after
