"""Batches built from blocks of a patient's images, so that every image has another of its patient in the batch."""

from __future__ import annotations

from collections import deque

import numpy as np

from reidbench.attackers.paper.patients import Rows, with_several


class BlockBatches:
    """Row numbers in batches, determined by seed and epoch.

    Every image of patients with at least two images comes once per epoch. A patient's images, shuffled, are cut into
    blocks of 2 to ``block``, and shuffled blocks fill the batches one after another. A block that no longer fits is cut
    in two, unless that left an image without another of its patient: then the batch stays one or two images short. The
    last batch takes what is left.

    Raises:
        ReidbenchError: no patient has two images, or there is only one patient.
    """

    def __init__(self, patients: Rows, *, batch_size: int, block: int, seed: int) -> None:
        self._groups = with_several(patients)
        self._batch_size = batch_size
        self._block = block
        self._seed = seed

    def epoch(self, number: int) -> list[Rows]:
        """The batches of one epoch, (B,) row numbers each, patients' blocks one after another."""
        rng = np.random.default_rng([self._seed, number])
        blocks = [block for group in self._groups for block in _blocks(rng.permutation(group), self._block)]
        queue = deque(blocks[index] for index in rng.permutation(len(blocks)))
        batches: list[Rows] = []
        taken: list[Rows] = []
        room = self._batch_size
        while queue:
            block = queue.popleft()
            head = _fitting(len(block), room)
            if head < len(block):
                queue.appendleft(block[head:])
            if head:
                taken.append(block[:head])
                room -= head
            if room < 2 or head < len(block):
                batches.append(np.concatenate(taken))
                taken, room = [], self._batch_size
        return [*batches, np.concatenate(taken)] if taken else batches


def _fitting(length: int, room: int) -> int:
    """How many images of a block go into what is left of a batch: so many that neither part is a single one."""
    if length <= room:
        return length
    head = room if length - room != 1 else room - 1
    return head if head >= 2 else 0


def _blocks(rows: Rows, most: int) -> list[Rows]:
    # A single image that is left over takes a partner from the block before it.
    ends = list(range(most, len(rows), most))
    if ends and len(rows) - ends[-1] == 1:
        ends[-1] -= 1
    return np.split(rows, ends)
