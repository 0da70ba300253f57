"""Compares generated images with real ones: grey levels, power spectrum, variance within and between patients.

python benchmarks/phantom_statistics.py --root ../shared/data/chestxray14-sample

Prints the tables of docs/phantom.md. Only train patients of the real dataset are looked at: its test part must not take
part in any choice.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.choosing import choose_dataset
from reidbench.cohorts.base import Cohort, remap
from reidbench.cohorts.load import load_cohort
from reidbench.files import cache_folder
from reidbench.plugins import Registry

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Lower ends of the bands of the spectrum in cycles per picture; each ends where the next begins.
BANDS = (1, 2, 4, 8, 16, 32)
#: Cells along a side at which variances are compared: what is seen at that coarseness and not at the one before.
SCALES = (1, 4, 8, 16, 32)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Some images of patients with at least two.

    Attributes:
        pixels: (N, S, S) in [0, 1].
        patients: (N,).
    """

    pixels: Floats
    patients: NDArray[np.int64]


def sample(cohort: Cohort, patients: int, most: int, seed: int = 0) -> Sample:
    """The first images of some train patients, drawn at random from those with two or more."""
    rows = cohort.rows("train")
    frame = cohort.frame.iloc[rows]
    counts = frame.groupby("patient_id")["image_id"].transform("size")
    known = frame["patient_id"][counts >= 2].unique()
    drawn = np.random.default_rng(seed).permutation(known)[:patients]
    kept = frame["patient_id"].isin(drawn).to_numpy() & (frame.groupby("patient_id").cumcount().to_numpy() < most)
    return Sample(cohort.pixels[rows[kept]] / 255.0, remap(frame["patient_id"][kept]))


def grey_levels(pixels: Floats) -> dict[str, float]:
    """Quantiles of the grey levels, averaged over images; how the middle and the contrast of images differ."""
    flat = pixels.reshape(len(pixels), -1)
    found = {
        f"grey level, quantile {q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(flat, QUANTILES, 1).mean(1))
    }
    found["median of an image, deviation"] = float(np.median(flat, axis=1).std())
    found["contrast of an image, mean"] = float(flat.std(axis=1).mean())
    found["contrast of an image, deviation"] = float(flat.std(axis=1).std())
    return found


def spectrum(pixels: Floats) -> dict[str, float]:
    """Share of each band in the power of images without their mean, by octaves, and the slope of the power density."""
    size = pixels.shape[-1]
    # Without a window the edges of a picture would be taken for fine structure.
    window = np.hanning(size + 2)[1:-1]
    flat = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) * window[:, None] * window
    power = (np.abs(np.fft.fft2(flat)) ** 2).mean(axis=0)
    away = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size) * size]))
    edges = [band for band in BANDS if band <= size // 2]
    masks = [(away >= low) & (away < high) for low, high in pairwise(edges)]
    sums, density = [float(power[mask].sum()) for mask in masks], [float(power[mask].mean()) for mask in masks]
    middle = [np.sqrt(low * high) for low, high in pairwise(edges)]
    found = {f"power, {low}–{high} cycles": one / sum(sums) for (low, high), one in zip(pairwise(edges), sums)}
    found["slope of the power density"] = float(np.polyfit(np.log(middle), np.log(density), 1)[0])
    return found


def variances(found: Sample) -> dict[str, float]:
    """By scale: variance in all, and the share of it that is between patients.

    Of patients' means less what their own visits add, as in a one-way analysis of variance.
    """
    _, owners, counts = np.unique(found.patients, return_inverse=True, return_counts=True)
    told = {}
    before = np.zeros_like(found.pixels)
    for cells in SCALES:
        if found.pixels.shape[-1] % cells:
            continue
        now = _cells(found.pixels, cells)
        flat = (now - before).reshape(len(now), -1)
        before = now
        means = np.zeros((len(counts), flat.shape[1]))
        np.add.at(means, owners, flat)
        means /= counts[:, None]
        within = ((flat - means[owners]) ** 2).sum(0) / (len(flat) - len(counts))
        between = np.maximum(0.0, ((means - means.mean(0)) ** 2).sum(0) / (len(counts) - 1) - within / _mean(counts))
        told[f"deviation at {cells} × {cells} cells"] = float(np.sqrt((within + between).mean()))
        total = float((within + between).sum())
        told[f"share between patients, {cells} × {cells}"] = float(between.sum()) / total if total else float("nan")
    return told


def _mean(counts: NDArray[np.int64]) -> float:
    return float(1 / (1 / counts).mean())


def _cells(pixels: Floats, cells: int) -> Floats:
    side = pixels.shape[-1] // cells
    small = pixels.reshape(len(pixels), cells, side, cells, side).mean(axis=(2, 4))
    return small.repeat(side, axis=1).repeat(side, axis=2)


def raw_pixels(found: Sample) -> dict[str, float]:
    """AUC over all pairs and mAP@R of the Euclidean distance of pixels."""
    vectors = found.pixels.reshape(len(found.pixels), -1).astype(np.float32)
    scores = metrics.euclidean_scores(vectors, vectors)(np.arange(len(vectors)))
    upper, ids = np.triu_indices(len(vectors), 1), np.arange(len(vectors))
    same = found.patients[:, None] == found.patients[None]
    ranks = metrics.rank_queries(lambda rows: scores[rows], found.patients, found.patients, ids, ids)
    return {
        "raw pixels, AUC": metrics.roc_auc(scores[upper], same[upper]),
        "raw pixels, mAP@R": float(np.nanmean(ranks.average_precision)),
    }


def figures(found: Sample) -> dict[str, float]:
    """All figures of a sample, by their name."""
    return {**grey_levels(found.pixels), **spectrum(found.pixels), **variances(found), **raw_pixels(found)}


def main() -> None:
    """Prints one table with a column for each dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of chestxray14; without it generated images alone")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--patients", type=int, default=250)
    parser.add_argument("--most", type=int, default=4, help="images of a patient")
    parser.add_argument("--generated", nargs="*", default=["phantom:version=1", "phantom:version=2"])
    given = parser.parse_args()
    registry = Registry()
    columns = {}
    for text, root in [
        *((text, None) for text in given.generated),
        *([("chestxray14", given.root)] if given.root else []),
    ]:
        cohort = load_cohort(choose_dataset(registry, text, root), size=given.size, cache=cache_folder())
        columns[text] = figures(sample(cohort, given.patients, given.most))
    print(f"| | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(f'{column[name]:.3f}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
