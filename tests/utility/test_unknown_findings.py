"""Findings that are known of some images only: none of the others is lost, in training or in judging."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from reidbench.networks.losses import beats_frequencies, frequency_loss, masked_cross_entropy
from reidbench.records.diagnosis import judge_predictions
from reidbench.records.parts.training import TrainingInfo

TRAINING = TrainingInfo(
    epochs=1, images_seen=1, seconds=0.0, learned=True, checkpoint_sha256="0", warm_start=False, history=[]
)


def test_an_unknown_finding_costs_its_image_no_other() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]]).float()
    whole = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    assert torch.equal(masked_cross_entropy(logits, labels), whole.sum() / 15)
    labels[0, 1], labels[2] = torch.nan, torch.nan
    loss = masked_cross_entropy(logits, labels)
    known = ~labels.isnan()
    torch.testing.assert_close(loss, whole[known].mean())
    loss.backward()
    assert torch.equal(logits.grad != 0, known)


def test_an_image_has_no_part_in_the_loss_of_another() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[1, 0, torch.nan, 1], [0, torch.nan, torch.nan, 1], [torch.nan] * 4])
    losses = masked_cross_entropy(logits, labels, dim=1)
    assert losses.shape == (3,)
    for row in range(3):
        assert torch.equal(losses[row], masked_cross_entropy(logits[row : row + 1], labels[row : row + 1]))
    assert losses[2] == 0, "none is known"


def test_the_loss_of_the_frequencies_alone() -> None:
    labels = torch.tensor([[1, 0, torch.nan], [0, 0, torch.nan], [0, torch.nan, torch.nan], [0, 1, torch.nan]])
    quarter = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    third = -(np.log(1 / 3) + 2 * np.log(2 / 3)) / 3
    assert frequency_loss(labels) == pytest.approx((4 * quarter + 3 * third) / 7)
    one, two = (-np.log(0.25) - np.log(2 / 3)) / 2, (-np.log(0.75) - np.log(2 / 3)) / 2
    three, four = -np.log(0.75), (-np.log(0.75) - np.log(1 / 3)) / 2
    assert frequency_loss(labels, per_image=True) == pytest.approx((one + two + three + four) / 4)
    assert beats_frequencies(0.99 * frequency_loss(labels), labels), "a label known of no image does not count"
    assert not beats_frequencies(0.999 * frequency_loss(labels), labels)
    assert not beats_frequencies(float("nan"), labels)


@pytest.mark.parametrize("unknown", [0.0, 0.6])
def test_each_finding_is_judged_on_the_images_where_it_is_known(unknown: float) -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random((120, 3)) < 0.4).astype(float)
    logits = (rng.normal(size=(120, 3)) + truth).astype(np.float32)
    truth[rng.random(truth.shape) < unknown] = np.nan
    told = (logits, truth, np.repeat(np.arange(40), 3), ("a", "b", "c"), "originals", "release", TRAINING)
    found = judge_predictions(*told, left_out={}, undefended=None, bootstrap_runs=100)
    known = ~np.isnan(truth)
    areas = [roc_auc_score(truth[rows, label], logits[rows, label]) for label, rows in enumerate(known.T)]
    assert [found.per_label[name].value for name in "abc"] == pytest.approx(areas)
    assert found.macro_auc.value == pytest.approx(np.mean(areas))
    if unknown:
        assert known.all(axis=1).sum() < 20 < known.sum(axis=0).min(), "whole images would hardly be enough"
