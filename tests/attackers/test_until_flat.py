"""Training until the validation curve is flat: when it goes on, what it keeps, and that a kill changes nothing."""

from __future__ import annotations

import itertools

import pytest
import torch
from safetensors.torch import load_file

from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.siamese import STANDARD
from reidbench.attackers.siamese_network import Siamese
from reidbench.attackers.until_flat import train_until_flat
from reidbench.networks.history import FLAT, final_slope, still_improving
from tests.attackers.conftest import CPU, auc

RISING = [0.60, 0.65, 0.70]
LEVEL = [0.70, 0.70, 0.70]


def curves(*cycles: list[float]):
    """A training whose cycles end with these validation AUC, and what it was asked for."""
    asked: list[tuple[int, int]] = []

    def train_cycle(network, number, times):
        asked.append((number, times))
        with torch.no_grad():
            network.network.weight.fill_(number)
        return network, [{"epoch": epoch + 1.0, "val_auc": auc} for epoch, auc in enumerate(cycles[number])]

    return train_cycle, asked


def small() -> Siamese:
    return Siamese(torch.nn.Linear(2, 2), Retrieval().head())


@pytest.mark.parametrize(
    ("cycles", "longest", "enough", "expected"),
    [
        ([LEVEL], 4, None, [(0, 1)]),
        ([RISING], 1, None, [(0, 1)]),
        # The second of equal length, the third as long as both; no more than four times in all.
        ([RISING, [0.6, 0.7, 0.8], [0.7, 0.8, 0.9]], 4, None, [(0, 1), (1, 1), (2, 2)]),
        ([RISING, [0.6, 0.7, 0.8], [0.7, 0.8, 0.9]], 3, None, [(0, 1), (1, 1), (2, 1)]),
        # The end of a cycle counts against the end of the one before, however the rate's fall bends the curve within.
        ([RISING, [0.5, 0.6, 0.70]], 4, None, [(0, 1), (1, 1)]),
        ([RISING, [0.5, 0.6, 0.68]], 4, None, [(0, 1), (1, 1)]),
        ([RISING], 4, 0.7, [(0, 1)]),
    ],
    ids=["flat", "never", "to the cap", "an odd cap", "no gain", "a loss", "enough"],
)
def test_it_goes_on_as_long_as_the_ends_rise_within_the_cap(cycles, longest, enough, expected):
    train_cycle, asked = curves(*cycles)
    _, rows = train_until_flat(train_cycle, small(), longest=longest, enough=enough)
    assert asked == expected
    assert [row["epoch"] for row in rows] == list(range(1, 3 * len(expected) + 1))
    assert [row.get("cycle", 1.0) for row in rows] == [float(n + 1) for n, _ in expected for _ in range(3)]


@pytest.mark.parametrize(("second", "kept"), [(0.69, 0), (0.70, 1), (0.71, 1)])
def test_the_best_end_is_kept_and_of_equals_the_later(second, kept):
    train_cycle, _ = curves(RISING, [0.5, 0.6, second])
    best, _ = train_until_flat(train_cycle, small(), longest=2, enough=None)
    assert best.val_auc == max(0.70, second)
    assert (best.network.network.weight == kept).all(), "a later cycle does not change what was kept"


def test_without_validation_it_ends_after_one_cycle():
    rows = [{"epoch": epoch + 1.0} for epoch in range(5)]
    best, found = train_until_flat(lambda network, number, times: (network, rows), small(), longest=4, enough=None)
    assert found == rows
    assert best.val_auc == float("-inf")


def test_the_slope_of_several_cycles_is_that_between_the_ends_of_the_last_two():
    first = [{"epoch": float(n), "val_auc": 0.6 + n / 100} for n in (1, 2, 3)]
    second = [{"epoch": float(n), "val_auc": 0.5 + n / 50, "cycle": 2.0} for n in (4, 5, 6)]
    assert final_slope([*first, *second]) == pytest.approx((0.62 - 0.63) / 3)
    third = [{"epoch": 12.0, "val_auc": 0.62 + 6 * FLAT + 1e-6, "cycle": 3.0}]
    assert still_improving([*first, *second, *third])
    third[0]["val_auc"] -= 2e-6
    assert not still_improving([*first, *second, *third])


@pytest.mark.parametrize("options", [{}, {"average": 0.9, "classes": "adacos"}], ids=["plain", "average and classes"])
def test_a_training_killed_in_its_second_cycle_ends_with_the_same_weights(world, tiny, tmp_path, options):
    images, patients = world.blobs(30, 3, seed=1)
    # Validated on what it learns from, so that the curve rises.
    scenario, val = world.scenario(images, patients), world.fixed(images, patients)
    short = {
        **tiny,
        "backbone": "resnet_small_4",
        "batch_size": 16,
        "min_steps": 75,
        "lr": 1e-3,
        "longest": 2,
        **options,
    }
    steps = itertools.count(1)

    class Killed(Exception):
        pass

    def dying(index, *, generator, device):
        if next(steps) == 75 + 40:
            raise Killed
        return scenario.probe(index, generator=generator, device=device)

    whole, broken, resumed = (Retrieval(**short) for _ in range(3))
    told = whole.fit(scenario, val, seed=3, device=CPU, work_dir=tmp_path / "a")
    assert [row.get("cycle", 1.0) for row in told.history] == [1.0] * 3 + [2.0] * 3, "it goes on"
    assert told.epochs == 6
    with pytest.raises(Killed):
        broken.fit(
            type(scenario)(patients, dying, scenario.gallery, world.size),
            val,
            seed=3,
            device=CPU,
            work_dir=tmp_path / "b",
        )
    rest = resumed.fit(scenario, val, seed=3, device=CPU, work_dir=tmp_path / "b")
    for name in ("train_loss", "val_auc", "images", "epoch"):
        assert [row.get(name) for row in rest.history] == [row.get(name) for row in told.history], name
    for name, attacker in (("whole", whole), ("resumed", resumed)):
        attacker.save(tmp_path / f"{name}.safetensors")
    one, other = load_file(tmp_path / "whole.safetensors"), load_file(tmp_path / "resumed.safetensors")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_first_cycle_is_the_training_without_the_option_and_more_is_better(world, tiny, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    scenario, val = world.scenario(images, patients), world.fixed(*world.blobs(30, 3, seed=2))
    test, owners = world.blobs(30, 3, seed=4)
    found = {}
    for longest in (1, 4):
        attacker = Retrieval(**{**tiny, "min_steps": 75, "lr": 1e-3}, longest=longest)
        training = attacker.fit(scenario, val, seed=0, device=CPU, work_dir=tmp_path / str(longest))
        found[longest] = [row.get("val_auc") for row in training.history], auc(attacker, test, test, owners)
    assert found[4][0][: len(found[1][0])] == found[1][0]
    assert len(found[4][0]) > len(found[1][0])
    assert found[4][1] > found[1][1]


def test_the_standard_preset_trains_until_flat_and_quick_does_not():
    assert STANDARD["longest"] > 1
    assert Retrieval(**Retrieval.presets["quick"]).longest == 1
