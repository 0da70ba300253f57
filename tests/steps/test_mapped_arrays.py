"""Arrays sent to other processes by the name of their file."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from reidbench.plugins import Registry
from reidbench.steps.mapped_arrays import reference
from reidbench.steps.releases import ArraySide, MechanismSide

SHAPE = (10, 32, 32)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "pixels.npy", np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8))
    return np.load(tmp_path / "pixels.npy", mmap_mode="r")


@pytest.mark.parametrize(
    ("piece", "by_name"),
    [
        (lambda a: a, True),
        (lambda a: a[3:7], True),
        (lambda a: np.asarray(a)[3:7][1:], True),
        (lambda a: a[::2], False),
        (lambda a: a[[1, 5]], False),
        (lambda a: np.array(a), False),
        (lambda a: a[:0], False),
    ],
)
def test_an_even_piece_of_a_file_goes_by_name_and_comes_back_equal(mapped, piece, by_name):
    array = piece(mapped)
    found = reference(array)
    assert (found.array is None) == by_name
    np.testing.assert_array_equal(found.open(), array)
    assert found.open().shape == array.shape


def test_a_side_is_small_on_its_way_and_the_same_on_the_other_end(mapped):
    noise = Registry().get("defense", "gaussian_noise")(sigma=0.2)
    for side in (ArraySide((mapped[2:],)), MechanismSide(noise, mapped[2:])):
        sent = pickle.dumps(side)
        assert len(sent) < 2000
        seen, there = (
            one(np.array([0, 4]), generator=torch.Generator().manual_seed(3), device=torch.device("cpu"))
            for one in (side, pickle.loads(sent))
        )
        assert torch.equal(seen, there)
