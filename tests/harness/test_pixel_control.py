"""Raw pixels as an attacker: the control finds what attacks may find, and no copy of the probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pairing.pairs import build_pairs, pictures_of
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.harness.controls import judge_controls
from reidbench.progress import Silent


def average_precisions(vectors, patients, pictures):
    """mAP@R written out, without the probe and its copies."""
    found = []
    for probe, vector in enumerate(vectors):
        others = np.flatnonzero(pictures != pictures[probe])
        order = others[np.argsort(((vectors[others] - vector) ** 2).sum(axis=1), kind="stable")]
        mine = patients[order] == patients[probe]
        if mine.any():
            first = mine[: mine.sum()]
            found.append((first * np.cumsum(first) / np.arange(1, len(first) + 1)).sum() / len(first))
    return np.mean(found)


@pytest.mark.parametrize("copies", [0, 12])
def test_raw_pixels_do_not_find_copies_of_the_probe(tmp_path: Path, copies: int) -> None:
    cohort = load_cohort(Phantom(patients=60), size=16, cache=tmp_path, strict=False, progress=Silent())
    test = cohort.part("test")
    frame, pixels = test.frame.copy(), test.pixels.copy()
    frame["picture"] = np.arange(len(frame))
    patients = np.unique(frame["patient"].to_numpy(), return_inverse=True)[1]
    several = [rows for one in np.unique(patients) if len(rows := np.flatnonzero(patients == one)) > 2]
    for one, other, *_ in several[:copies]:
        pixels[other], frame.loc[frame.index[other], "picture"] = pixels[one], one
    part = replace(test, frame=frame, pixels=pixels)
    assert (pictures_of(frame) is None) == (copies == 0)
    pairs = build_pairs(part.frame, negatives="random", seed=0)
    found = judge_controls({"test": part}, {"random": pairs}, patients, [])
    expected = average_precisions(pixels.reshape(len(pixels), -1) / 255, patients, frame["picture"].to_numpy())
    assert found.pixels_map_at_r == pytest.approx(expected, abs=1e-6)
