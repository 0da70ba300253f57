"""The end of a training's validation curve: its slope, and whether it was still rising."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench.networks.history import FLAT
from reidbench.records.parts.training import TrainingInfo


def training(aucs, epochs=None):
    """One that was validated with these AUC after these epochs; None where an epoch was not validated."""
    rows = [
        {"epoch": float(epoch), "train_loss": 1.0} | ({} if auc is None else {"val_auc": auc})
        for epoch, auc in zip(epochs or range(1, len(aucs) + 1), aucs)
    ]
    return TrainingInfo(
        epochs=len(aucs),
        images_seen=1,
        seconds=1.0,
        learned=True,
        checkpoint_sha256="0" * 64,
        warm_start=False,
        history=rows,
    )


@pytest.mark.parametrize("epochs", [3, 6, 9, 10, 30])
def test_the_slope_is_numpys_line_through_the_last_third_and_at_least_three_epochs(epochs):
    aucs = np.random.default_rng(epochs).uniform(0.5, 1.0, epochs).round(6)
    last = max(3, int(np.ceil(epochs / 3)))
    expected = np.polyfit(np.arange(epochs)[-last:], aucs[-last:], 1)[0]
    assert training(aucs.tolist()).final_slope == pytest.approx(expected)


def test_epochs_without_validation_are_left_out():
    found = training([0.5, None, 0.7, None, 0.8], epochs=[2, 4, 6, 8, 10])
    assert found.final_slope == pytest.approx(np.polyfit([2, 6, 10], [0.5, 0.7, 0.8], 1)[0])
    assert training([None, 0.5, 0.9]).final_slope is None
    assert not training([None, 0.5, 0.9]).still_improving
    assert training([]).final_slope is None


def test_a_curve_that_rises_at_its_end_is_still_improving_and_a_flat_or_falling_one_is_not():
    assert training([0.7, 0.75, 0.8, 0.85]).still_improving
    assert not training([0.6, 0.7, 0.8, 0.8, 0.8, 0.8 + FLAT]).still_improving
    assert not training([0.6, 0.9, 0.85, 0.8]).still_improving
