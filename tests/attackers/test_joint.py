"""Attackers that score a pair jointly: the same contract, with a call for every pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import PairAttacker, PairNetworkAttacker, PluginError, ReidbenchError, Training

CPU = torch.device("cpu")


class Overlap(PairAttacker):
    """Minus the mean difference of two images, after the best shift of the second along the rows."""

    name = "overlap"
    pairs_at_once = 7

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def score_pairs(self, probe, gallery):
        assert len(probe) == len(gallery) == self.pairs_at_once
        a, b = probe.astype(np.float32), gallery.astype(np.float32)
        return -np.min([np.abs(a - np.roll(b, shift, axis=1)).mean(axis=(1, 2)) for shift in (-2, 0, 2)], axis=0)

    def save(self, path):
        path.write_text("")

    def load(self, path, *, device):
        path.read_text()


class Small(PairNetworkAttacker):
    """A small network on both images."""

    name = "small"

    def build(self):
        return nn.Sequential(
            nn.Conv2d(2, 16, 4, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 1),
        )  # fmt: skip


def test_pairs_and_blocks_are_what_a_call_a_pair_gives():
    images = np.random.default_rng(0).integers(0, 256, (9, 12, 12), dtype=np.uint8)
    attacker = Overlap()
    kept = attacker.embed(images, device=CPU)
    block = attacker.score_block(kept[:4], kept)
    plain = [
        [
            -min(np.abs(a.astype(float) - np.roll(b.astype(float), shift, axis=0)).mean() for shift in (-2, 0, 2))
            for b in images
        ]
        for a in images[:4]
    ]
    assert block.dtype == np.float32
    np.testing.assert_allclose(block, plain, rtol=1e-5)
    np.testing.assert_array_equal(attacker.score(kept[:4], kept[5:]), block[np.arange(4), np.arange(5, 9)])
    assert attacker.score(kept[:0], kept[:0]).shape == (0,)
    assert attacker.score_block(kept[:0], kept).shape == (0, 9)
    assert attacker.score_block(kept, kept[:0]).shape == (9, 0)


def test_scores_of_another_shape_are_refused():
    class Wrong(Overlap):
        def score_pairs(self, probe, gallery):
            return super().score_pairs(probe, gallery)[:, None]

    images = np.zeros((2, 8, 8), dtype=np.uint8)
    with pytest.raises(PluginError, match=r"overlap: score_pairs gave scores of shape \(7, 1\) for 7 pairs"):
        Wrong().score(images, images)


def test_an_untrained_network_scores_and_saves_nothing(tmp_path):
    images = np.zeros((2, 32, 32), dtype=np.uint8)
    for call in (lambda: Small().score(images, images), lambda: Small().save(tmp_path / "w")):
        with pytest.raises(ReidbenchError, match="small: neither trained nor loaded yet"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_network_on_pairs_learns(world, tmp_path):
    images, patients = world.blobs(60, 4, seed=1)
    test_images, test_patients = world.blobs(20, 3, seed=2)
    attacker = Small(min_steps=120, epochs=1)
    training = attacker.fit(world.scenario(images, patients), None, seed=3, device=CPU, work_dir=tmp_path)
    assert training.learned
    scores = attacker.score_block(test_images, test_images)
    same = test_patients[:, None] == test_patients
    off = ~np.eye(len(same), dtype=bool)
    assert (scores[same & off][:, None] > scores[~same]).mean() > 0.62
    np.testing.assert_allclose(attacker.probability(scores), 1 / (1 + np.exp(-scores.astype(float))), rtol=1e-5)


def test_equal_seeds_give_equal_scores_a_file_gives_them_back_and_a_warm_start_is_shorter(world, tmp_path):
    images, patients = world.blobs(12, 4, seed=1)
    scenario = world.scenario(images, patients)
    scores = []
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        attacker = Small(min_steps=8, max_steps=8, batch_size=16)
        attacker.fit(scenario, None, seed=seed, device=CPU, work_dir=tmp_path / name)
        attacker.save(tmp_path / f"{name}.safetensors")
        scores.append(attacker.score_block(images[:5], images))
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    again = Small()
    again.load(tmp_path / "one.safetensors", device=CPU)
    assert np.array_equal(again.score_block(images[:5], images), scores[0])
    warm = Small(min_steps=8, max_steps=8, batch_size=16, warm_share=0.25)
    start = tmp_path / "one.safetensors"
    training = warm.fit(scenario, None, seed=3, device=CPU, work_dir=tmp_path / "warm", start=start)
    assert training.images_seen == 2 * 16
    assert not np.array_equal(warm.score_block(images[:5], images), scores[0])


def test_a_killed_training_on_pairs_goes_on_to_the_same_weights(world, tmp_path):
    images, patients = world.blobs(12, 4, seed=1)
    whole = Small(min_steps=50, max_steps=50, batch_size=8)
    whole.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "whole")

    class Killed(Exception):
        pass

    calls = 0
    scenario = world.scenario(images, patients)

    def probe(index, *, generator, device):
        nonlocal calls
        calls += 1
        if calls == 30:
            raise Killed
        return scenario.probe(index, generator=generator, device=device)

    broken = type(scenario)(patients, probe, scenario.gallery, scenario.size)
    resumed = Small(min_steps=50, max_steps=50, batch_size=8)
    with pytest.raises(Killed):
        resumed.fit(broken, None, seed=0, device=CPU, work_dir=tmp_path / "killed")
    resumed.fit(scenario, None, seed=0, device=CPU, work_dir=tmp_path / "killed")
    assert np.array_equal(resumed.score_block(images, images), whole.score_block(images, images))
