"""Undoing a fixed rearrangement of pixels without a single known pair: a secret key that all images of a release share.

A pixel that was moved, and perhaps inverted, takes its statistics along: its mean, its deviation and how it varies with
the other pixels. An attacker knows these for every place from images of its own patients, and for every published pixel
from the release. Both are clouds of points, one a pixel, in the space of the main components; the second cloud is the
first one turned, and which point is which follows by turns from how they are turned and from which is nearest, with
more and more components. Clouds of word vectors of two languages are aligned in this way without a dictionary: Grave,
Joulin and Berthet, "Unsupervised alignment of embeddings with Wasserstein Procrustes" (2019).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

#: Images that statistics are taken of, at most; as many are put back at once.
MOST_IMAGES = 1_000
#: Larger images have too many pixels to be compared each with each: a pass takes their square.
MOST_PIXELS = 128 * 128
#: Components by which points are compared, pass by pass: of the first ones all directions are tried.
FIRST = 5
FIRST_PASSES = (5, 5, 5, 6, 6, 8, 8)
PASSES = (8, 8, 10, 12, 16, 16, 20, 24, 32, 32, 48, 48)
#: Points of the attacker's own images that this is tried on.
SOME = 1_024
#: Images of each side below which their statistics say too little.
FEWEST_IMAGES = 24
#: Mean images that are this much alike, by correlation, are of pixels that stayed where they were.
ALIKE = 0.9
#: Rows of points that are compared at once.
_BLOCK = 1_024


@dataclass(frozen=True)
class _Cloud:
    """Points of a set of images, one a pixel.

    Attributes:
        means: (P,) around the middle grey.
        deviations: (P,).
        loadings: (P, K) on the main components, each as long as its deviation.
    """

    means: torch.Tensor
    deviations: torch.Tensor
    loadings: torch.Tensor

    def at(self, places: torch.Tensor) -> _Cloud:
        """Some of the points."""
        return _Cloud(self.means[places], self.deviations[places], self.loadings[places])

    def points(self, components: int) -> torch.Tensor:
        """What an inversion turns round: (P, 1 + components)."""
        return torch.cat([self.means[:, None], self.loadings[:, :components]], dim=1)


def rearranged(own: NDArray[np.uint8], released: NDArray[np.uint8]) -> bool:
    """Whether pixels seem to be elsewhere in a release: its mean image is another one, and its images differ.

    Args:
        own: (N, H, W) originals of the attacker's patients.
        released: (M, H, W), of other patients.
    """
    if own[0].size > MOST_PIXELS or min(len(own), len(released)) < FEWEST_IMAGES:
        return False
    means = [images.mean(axis=0, dtype=np.float64).ravel() for images in (own, released)]
    if np.ptp(released, axis=0).max() == 0 or min(mean.std() for mean in means) == 0:
        return False
    return bool(np.corrcoef(*means)[0, 1] < ALIKE)


def put_back(own: NDArray[np.uint8], released: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The released images with every pixel where its statistics say that it comes from, inverted where they say so.

    Args:
        own: (N, H, W) originals of the attacker's patients.
        released: (M, H, W): all images that one key was applied to, of no known patient.

    Returns:
        (M, H, W). An image depends on the others, by their statistics alone.
    """
    source, signs = _matched(_cloud(own), _cloud(released))
    made = np.empty(released.shape, dtype=np.uint8)
    for begin in range(0, len(released), MOST_IMAGES):
        some = released[begin : begin + MOST_IMAGES]
        levels = (_columns(some)[:, source] * signs + 0.5) * 255
        made[begin : begin + MOST_IMAGES] = levels.round().clamp(0, 255).numpy().reshape(some.shape)
    return made


def _columns(images: NDArray[np.uint8]) -> torch.Tensor:
    """(N, P) around middle grey, from -0.5 to 0.5."""
    return torch.from_numpy(np.array(images).reshape(len(images), -1)).float() / 255 - 0.5


def _cloud(images: NDArray[np.uint8]) -> _Cloud:
    # Evenly spaced images: patients stand together.
    chosen = _columns(images[np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).astype(np.intp)])
    means = chosen.mean(dim=0)
    centred = (chosen - means) / len(chosen) ** 0.5
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    kept = min(PASSES[-1], len(chosen) // 4)
    loadings = centred.T @ vectors.flip(1)[:, :kept]
    return _Cloud(means, centred.square().sum(dim=0).sqrt(), loadings)


def _matched(own: _Cloud, released: _Cloud) -> tuple[torch.Tensor, torch.Tensor]:
    """For every place the released point that is nearest to it, and whether that is inverted (-1) or not (1)."""
    # Which way a component points is arbitrary: all ways of the first ones are tried, on some of the points.
    some = own.at(torch.arange(0, len(own.means), max(1, len(own.means) // SOME)))
    starts = (torch.diag(torch.tensor(signs)) for signs in itertools.product((1.0, -1.0), repeat=FIRST))
    turn = min((_turned(some, released, start, FIRST_PASSES) for start in starts), key=lambda found: found[1])[0]
    turn, _ = _turned(own, released, turn, PASSES)
    return _nearest(own, released, turn)[:2]


def _turned(own: _Cloud, released: _Cloud, turn: torch.Tensor, passes: tuple[int, ...]) -> tuple[torch.Tensor, float]:
    """How the released cloud is turned to lie on the other one, from a first guess; and how far it is then away."""
    fewest = min(own.loadings.shape[1], released.loadings.shape[1])
    source, signs, distance = _nearest(own, released, turn)
    for components in passes:
        if components > fewest:
            break
        seen = released.loadings[source, :components] * signs[:, None]
        left, _, right = torch.linalg.svd(seen.T @ own.loadings[:, :components])
        turn = left @ right
        source, signs, distance = _nearest(own, released, turn)
    return turn, distance


def _nearest(own: _Cloud, released: _Cloud, turn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """For each point of the first cloud the nearest of the second, its sign, and the mean squared distance."""
    here = own.points(len(turn))
    there = released.points(len(turn))
    there[:, 1:] = there[:, 1:] @ turn
    source, signs, total = [], [], 0.0
    fixed = (there.square().sum(dim=1) + released.deviations.square()) / 2
    for rows in torch.arange(len(here)).split(_BLOCK):
        # Half of what squared distances fall short of the lengths by, in one matrix: others of this size would take
        # longer than the product. The deviation is the same of a pixel and of its inverse, so that it stays out of
        # the part that is turned round.
        closeness = (here[rows] @ there.T).abs_().addr_(own.deviations[rows], released.deviations).sub_(fixed)
        most, found = closeness.max(dim=1)
        source.append(found)
        signs.append(torch.where((here[rows] * there[found]).sum(dim=1) < 0, -1.0, 1.0))
        total += float((here[rows].square().sum(dim=1) + own.deviations[rows].square() - 2 * most).sum())
    return torch.cat(source), torch.cat(signs), total / len(here)
