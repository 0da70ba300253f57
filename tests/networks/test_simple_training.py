"""The plainest training: every image once a pass, seeded, and gone on with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import learn

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 5), dtype=np.uint8)


def trained(folder, loss_of=None, *, pixels=PIXELS, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 20), nn.Dropout(0.2), nn.Linear(20, 20))

    def loss(images, rows):
        return (network(images) - images.flatten(1)).square().mean()

    options = {"epochs": 3, "batch_size": 4, "seed": 1, "lr": 0.01, "device": CPU} | options
    history = learn(network, loss_of(network) if loss_of else loss, pixels, work_dir=folder, **options)
    return network.state_dict(), history


def test_it_sees_every_image_once_a_pass_and_its_row(tmp_path):
    seen = []

    def loss_of(network):
        def loss(images, rows):
            torch.testing.assert_close(images[:, 0], torch.from_numpy(PIXELS[rows] / 255).float())
            seen.append(rows.tolist())
            return network(images).square().mean()

        return loss

    trained(tmp_path, loss_of)
    assert [len(rows) for rows in seen] == [5, 5] * 3, "even batches"
    passes = [seen[i] + seen[i + 1] for i in (0, 2, 4)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]


def test_the_loss_falls_and_the_seed_decides_it(tmp_path):
    first, history = trained(tmp_path / "a", epochs=40)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert [row["epoch"] for row in history] == list(range(1, 41))
    again, _ = trained(tmp_path / "b", epochs=40)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other, _ = trained(tmp_path / "c", epochs=40, seed=2)
    assert not torch.equal(first["1.weight"], other["1.weight"])


@pytest.mark.parametrize("dies_at", [2, 4])
def test_it_goes_on_after_a_kill(tmp_path, dies_at):
    whole, history = trained(tmp_path / "whole")
    calls = []

    def dying(network):
        def loss(images, rows):
            calls.append(rows)
            if len(calls) == dies_at + 1:
                raise InterruptedError
            return (network(images) - images.flatten(1)).square().mean()

        return loss

    with pytest.raises(InterruptedError):
        trained(tmp_path / "killed", dying)
    resumed, again = trained(tmp_path / "killed", dying)
    assert len(calls) == 6 + 1, "what was done is not done again"
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [row["train_loss"] for row in again] == [row["train_loss"] for row in history]
