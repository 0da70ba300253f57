"""Scored pairs of patients who are alike to themselves and to others, as experiments repeat them."""

from __future__ import annotations

import numpy as np


def experiment(rng, patients=40, genuine_each=4, impostors=200, own=0.5, other=0.5, noise=0.5, shift=1.5):
    """Scores in which every patient has a likeness to itself and to others of its own; its true AUC is known."""
    likeness, commonness = rng.normal(0, own, patients), rng.normal(0, other, patients)
    first = np.r_[np.repeat(np.arange(patients), genuine_each), rng.integers(0, patients, impostors)]
    second = first.copy()
    second[-impostors:] = (first[-impostors:] + rng.integers(1, patients, impostors)) % patients
    same = first == second
    scores = np.where(same, shift + likeness[first], commonness[first] + commonness[second])
    return scores + rng.normal(0, noise, len(same)), same, first, second
