"""Options of the siamese attackers: patients as classes, what stands in front of the network, the moving average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reidbench.attackers.learners.siamese import MovingAverage
from reidbench.errors import ReidbenchError
from tests.attackers.conftest import CPU, auc


@pytest.mark.parametrize("classes", ["adacos", "arcface"])
def test_classes_of_patients_change_the_training_and_belong_to_no_weights_file(
    attacker_class, world, tiny, tmp_path, classes
):
    images, patients = world.blobs(12, 3, seed=1)
    kept = {}
    for name in ("none", classes):
        attacker = attacker_class(**{**tiny, "batch_size": 16, "min_steps": 5, "classes": name})
        before = torch.get_rng_state()
        attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / name)
        assert torch.equal(before, torch.get_rng_state())
        attacker.save(tmp_path / f"{name}.safetensors")
        kept[name] = load_file(tmp_path / f"{name}.safetensors")
    assert {key: value.shape for key, value in kept["none"].items()} == {
        key: value.shape for key, value in kept[classes].items()
    }
    assert not torch.equal(kept["none"]["network.head.4.weight"], kept[classes]["network.head.4.weight"])
    # What was trained with classes is read by an attacker without.
    attacker_class(**tiny).load(tmp_path / f"{classes}.safetensors", device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"classes": "adacos"}, {"classes": "arcface"}, {"align": True}], ids=str)
def test_classes_and_alignment_learn_too(attacker_class, world, tiny, tmp_path, options):
    images, patients = world.blobs(60, 4, seed=1)
    test_images, test_patients = world.blobs(30, 3, seed=2)
    attacker = attacker_class(**{**tiny, "min_steps": 120, **options})
    training = attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path)
    assert training.learned
    assert auc(attacker, test_images, test_images, test_patients) > 0.85


@pytest.mark.parametrize("options", [{"align": True}, {"equalize": "local"}, {"equalize": "clahe"}], ids=str)
def test_what_stands_in_front_of_the_network_belongs_to_its_file(attacker_class, world, tiny, tmp_path, options):
    images, patients = world.blobs(8, 3, seed=1)
    short = {**tiny, "batch_size": 16, "min_steps": 3}
    attacker = attacker_class(**short, **options)
    attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "fit")
    attacker.save(tmp_path / "w.safetensors")
    other = attacker_class(**short, **options)
    other.load(tmp_path / "w.safetensors", device=CPU)
    assert np.array_equal(other.embed(images, device=CPU), attacker.embed(images, device=CPU))
    with pytest.raises(ReidbenchError, match="weights of another attacker: shape is"):
        attacker_class(**short).load(tmp_path / "w.safetensors", device=CPU)


def test_the_shipped_weights_have_nothing_in_front(attacker_class):
    with pytest.raises(ValueError, match="align=False, equalize=none; another network needs weights=random"):
        attacker_class(weights="phantom", align=True)


def test_classes_are_left_out_where_training_goes_on_from_another_one(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    short = {**tiny, "batch_size": 16, "min_steps": 3, "warm_min_steps": 3, "warm_epochs": 1, "enough": None}
    first = attacker_class(**short)
    first.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / "first")
    first.save(tmp_path / "first.safetensors")
    kept = {}
    for name in ("none", "adacos"):
        attacker = attacker_class(**short, classes=name)
        attacker.fit(
            world.scenario(images, patients),
            None,
            seed=1,
            device=CPU,
            work_dir=tmp_path / name,
            start=tmp_path / "first.safetensors",
        )
        attacker.save(tmp_path / f"{name}.safetensors")
        kept[name] = load_file(tmp_path / f"{name}.safetensors")
    assert all(torch.equal(kept["none"][name], kept["adacos"][name]) for name in kept["none"])
    assert not torch.equal(
        kept["none"]["network.head.4.weight"], load_file(tmp_path / "first.safetensors")["network.head.4.weight"]
    )


def test_the_moving_average_is_what_is_kept_and_follows_a_short_training(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    short = {**tiny, "batch_size": 16, "min_steps": 40}
    kept = {}
    for name, average in (("first", None), ("average", 0.999), ("last", None)):
        steps = {"max_steps": 1, "min_steps": 1, "lr": 1e-12} if name == "first" else {}
        attacker = attacker_class(**{**short, **steps, "average": average})
        attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / name)
        attacker.save(tmp_path / f"{name}.safetensors")
        kept[name] = load_file(tmp_path / f"{name}.safetensors")["network.head.4.weight"]
    moved, behind = ((kept["last"] - kept[name]).abs().mean() for name in ("first", "average"))
    assert 0 < behind < 0.2 * moved


def test_the_moving_average_begins_with_the_weights_of_the_first_step(attacker_class, world, tiny, tmp_path):
    images, patients = world.blobs(8, 3, seed=1)
    kept = []
    for average in (None, 0.999):
        attacker = attacker_class(**{**tiny, "batch_size": 16, "min_steps": 1, "max_steps": 1, "average": average})
        attacker.fit(world.scenario(images, patients), None, seed=0, device=CPU, work_dir=tmp_path / str(average))
        attacker.save(tmp_path / f"{average}.safetensors")
        kept.append(load_file(tmp_path / f"{average}.safetensors"))
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_the_moving_average_forgets_its_beginning():
    current, averaged = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2).requires_grad_(False)
    for done in range(400):
        for tensor in (current.weight, current.running_mean, current.num_batches_tracked):
            tensor.detach().fill_(done + 1)
        MovingAverage(0.99)(averaged, current, done)
    # By hand: the weight that each value has in the end.
    decays = [min(0.99, (1 + done) / (10 + done)) for done in range(1, 400)]
    weights = np.array([1.0, *(1 - d for d in decays)]) * np.array([np.prod(decays[step:]) for step in range(400)])
    assert weights.sum() == pytest.approx(1)
    assert weights[0] < 1e-3
    expected = torch.full((2,), float(weights @ np.arange(1, 401)))
    torch.testing.assert_close(averaged.weight, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(averaged.running_mean, expected, rtol=1e-4, atol=0)
    # A count has no mean.
    assert averaged.num_batches_tracked == 400
