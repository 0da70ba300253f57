"""The random numbers of one side of a training step, and what it shares with the other side."""

from __future__ import annotations

import torch


class SideGenerator(torch.Generator):
    """A CPU generator of one side, which knows a seed that both sides of its step have.

    Two published images come from one release and, where a mechanism has a key for all images, from one key. An
    attacker that learned from pairs under two keys would learn another task than the tested one.

    Args:
        seed: of this side's own numbers.
        shared: the seed of what both sides have in common.
    """

    shared: int

    def __new__(cls, seed: int, shared: int) -> SideGenerator:
        """torch makes a generator from its device alone."""
        made = super().__new__(cls)
        made.shared = shared
        made.manual_seed(seed)
        return made

    def __init__(self, seed: int, shared: int) -> None:
        super().__init__()
