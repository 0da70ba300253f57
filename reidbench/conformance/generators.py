"""The global random generators, which a defense must leave alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# ruff: noqa: NPY002 - numpy's global generator is what a defense may have used by mistake.


def scramble(seed: int) -> None:
    """Sets all of them, so that what depends on them shows."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def states() -> dict[str, object]:
    """Their states, by library."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (numpy["state"]["key"].tobytes(), numpy["state"]["pos"], numpy["has_gauss"]),
        "Python": random.getstate(),
    }


@contextmanager
def restored() -> Iterator[None]:
    """Puts them back to where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
