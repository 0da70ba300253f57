"""Attackers that score the two images of a pair jointly, in place of comparing a vector of each."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.attackers.base import Attacker
from reidbench.errors import PluginError


class PairAttacker(Attacker):
    """An attacker that looks at both images of a pair at once.

    Such a score cannot be put together from a vector of each image, so every pair costs a call: the test pairs and, for
    retrieval, all N² pairs of the N test images, on each rung of the ladder. The scores are cached: a run that is
    repeated or goes on after a kill computes none of them twice.
    """

    #: Pairs that :meth:`score_pairs` gets at a time, always as many: the last block is filled up with a repeated pair.
    pairs_at_once: ClassVar[int] = 128

    @abstractmethod
    def score_pairs(self, probe: NDArray[np.uint8], gallery: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores of pairs of images, (P, H, W) and (P, H, W) uint8 to (P,); higher means more likely one patient.

        ``probe`` holds images as the attacker has them, ``gallery`` images as they are published. A pair's score
        depends on no other pair of the block. Works on the device that :meth:`fit` or :meth:`load` was given.
        """

    def embed(self, images: NDArray[np.uint8], *, device: torch.device) -> NDArray[Any]:
        """What is kept of each image until it is scored: the image itself, (N, H, W) uint8.

        Where a part of the work can be done for each image by itself, this may be overridden to return an array
        (N, …), of which :meth:`score_pairs` then gets rows in place of images.
        """
        return images

    def score(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of pairs of what :meth:`embed` returned, (P, …) and (P, …) to (P,)."""
        rows = np.arange(len(a))
        return self._scored(a, b, rows, rows)

    def score_block(self, probes: NDArray[Any], gallery: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, …) and (G, …) to (Q, G): Q · G pairs."""
        pairs = np.arange(len(probes) * len(gallery))
        count = max(1, len(gallery))
        return self._scored(probes, gallery, pairs // count, pairs % count).reshape(len(probes), len(gallery))

    def _scored(
        self, probes: NDArray[Any], gallery: NDArray[Any], a: NDArray[np.int64], b: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        scores = np.empty(len(a), dtype=np.float32)
        step = self.pairs_at_once
        for begin in range(0, len(a), step):
            rows = np.minimum(np.arange(begin, begin + step), len(a) - 1)
            found = np.asarray(self.score_pairs(probes[a[rows]], gallery[b[rows]]))
            if found.shape != (step,):
                raise PluginError(f"{self.name}: score_pairs gave scores of shape {found.shape} for {step} pairs")
            scores[begin : begin + step] = found[: len(scores[begin : begin + step])]
        return scores
