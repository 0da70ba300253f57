"""Impostor pairs out of genuine ones: pairs of different patients exchange their second images.

Every image is then as often a probe among impostor pairs as among genuine ones, and as often a second image, so that no
score of one image alone tells them apart. Drawn at random, impostors show patients with many images less often than
genuine pairs do, and whatever a network sees of those patients in one image beats chance without any link.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]

# Each round offers every pair one exchange with another of its cell. A random order of n takes about log(n)/2 of them.
_MIXING = 16
# Rounds in which impostor pairs that come twice are offered another second image, and rounds without one fewer of them
# after which there is no hope: in most cells a few are enough, in a crowded one the search is long.
_REPAIRS = 400
_HOPE = 40
# Draws from which the one that loses the fewest pairs is taken (the first, where it loses none), by the number of pairs
# up to which there are so many. Of few pairs a draw may lose all, of many none loses a large share.
_DRAWS = {200: 16, 20_000: 4}


@dataclass(frozen=True)
class Exchanged:
    """Genuine pairs that stay, and an impostor pair for each.

    Attributes:
        kept: (K,) numbers of the genuine pairs.
        a, b: (K,) rows of the impostor pairs: the probe of each kept pair, with the second image of another. Both are
            those of the kept pairs, reordered.
    """

    kept: Rows
    a: Rows
    b: Rows


def exchange(a: Rows, b: Rows, patients: Rows, cells: Rows, rng: np.random.Generator) -> Exchanged:
    """Draws impostor pairs by exchanging second images between genuine pairs of one cell.

    A patient who has more than half of a cell's pairs finds no partner for the rest of them: these are left out, drawn
    at random. No impostor pair comes twice: a pair for which no other way is found is left out too, as happens where a
    cell has few pairs, of few patients.

    Args:
        a, b: (P,) rows of the genuine pairs: probes, and second images.
        patients: (N,) the patient of each row.
        cells: (P,) pairs exchange second images only with pairs of the same number.
        rng: decides all draws.
    """
    stays = np.ones(len(a), dtype=np.bool_)
    stays[without_partner(patients[a], cells, rng)] = False
    kept = np.flatnonzero(stays)
    # Who lies beside whom is drawn, not given by the table.
    kept = rng.permutation(kept)
    label = rng.permutation(len(patients))[pd.factorize(patients[a[kept]])[0]]
    kept = kept[np.lexsort((label, cells[kept]))]
    best = _draw(a[kept], b[kept], patients, cells[kept], rng)
    draws = next((draws for most, draws in _DRAWS.items() if len(kept) <= most), 1)
    for _ in range(draws - 1):
        if len(best.kept) == len(kept):
            break
        best = max(best, _draw(a[kept], b[kept], patients, cells[kept], rng), key=lambda drawn: len(drawn.kept))
    return Exchanged(kept[best.kept], best.a, best.b)


def _draw(a: Rows, b: Rows, patients: Rows, cells: Rows, rng: np.random.Generator) -> Exchanged:
    mine = _Exchange(a, b, patients, cells, rng)
    mine.shift()
    for _ in range(_MIXING):
        mine.mix()
    mine.repair()
    stays = np.flatnonzero(mine.without_repeats())
    return Exchanged(stays, a[stays], mine.second()[stays])


def without_partner(patients: Rows, cells: Rows, rng: np.random.Generator) -> Rows:
    """Numbers of the pairs that are too many: what a patient has above half of a cell's pairs, drawn at random.

    Args:
        patients: (P,) whose each pair is.
        cells: (P,) the cell of each.
        rng: decides which of a patient's pairs are too many.
    """
    cell = pd.factorize(cells)[0].astype(np.int64)
    person = pd.factorize(patients)[0].astype(np.int64)
    group = pd.factorize(cell * (person.max(initial=0) + 1) + person)[0]
    # As many of a patient's pairs find partners as the others of the cell have.
    surplus = 2 * np.bincount(group)[group] - np.bincount(cell)[cell]
    order = rng.permutation(np.flatnonzero(surplus > 0))
    order = order[np.argsort(group[order], kind="stable")]
    rank = np.arange(len(order)) - np.searchsorted(group[order], group[order], side="left")
    return order[rank < surplus[order]]


def _blocks(*columns: Rows) -> Rows:
    """Numbers of the runs of equal values, (P,), rising."""
    if not len(columns[0]):
        return np.zeros(0, dtype=np.int64)
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.cumsum(np.r_[False, changes]).astype(np.int64)


def _times(ordered: Rows, codes: Rows) -> Rows:
    """How often each of ``codes`` is in a sorted array."""
    return np.searchsorted(ordered, codes, side="right") - np.searchsorted(ordered, codes, side="left")


def _repeated(codes: Rows) -> NDArray[np.bool_]:
    """Which values are there more than once."""
    found: NDArray[np.bool_] = pd.Series(codes).duplicated(keep=False).to_numpy()
    return found


class _Exchange:
    """A permutation of second images within cells, in which no pair shows one patient twice.

    Pairs are in order of cell and patient, and no patient has more than half of a cell's.
    """

    def __init__(self, a: Rows, b: Rows, patients: Rows, cells: Rows, rng: np.random.Generator) -> None:
        self.a, self.b = a, b
        self.person = patients[a]
        self.cell = _blocks(cells)
        self.count = len(patients)
        self.rng = rng
        self.first = np.searchsorted(self.cell, self.cell, side="left")
        self.size = np.bincount(self.cell)[self.cell] if len(a) else np.zeros(0, dtype=np.int64)
        # Whose second image each pair's probe gets.
        self.source = np.arange(len(a))

    def second(self) -> Rows:
        return self.b[self.source]

    def shift(self) -> None:
        """A first permutation without genuine pairs: all second images of a cell are shifted by its longest run."""
        if not len(self.a):
            return
        run = _blocks(self.cell, self.person)
        longest = np.zeros(self.cell[-1] + 1, dtype=np.int64)
        np.maximum.at(longest, self.cell, np.bincount(run)[run])
        size = np.bincount(self.cell)
        by = longest + self.rng.integers(0, size - 2 * longest + 1)
        self.source = self.first + (np.arange(len(self.a)) - self.first + by[self.cell]) % self.size

    def mix(self) -> None:
        """Exchanges second images between random pairs of a cell, where that makes no genuine pair."""
        order = self.rng.permutation(len(self.a))
        if self.cell[-1:].any():  # Several cells.
            order = order[np.argsort(self.cell[order], kind="stable")]
        even = (np.arange(len(order)) - self.first) % 2 == 0  # First and second of each two; cells keep their places.
        one, other = order[:-1][even[:-1]], order[1:][even[:-1]]
        fits = (self.cell[one] == self.cell[other]) & self._may(one, other)
        self._swap(one[fits], other[fits])

    def repair(self) -> None:
        """Lets pairs exchange until no impostor pair comes twice, or no more is found.

        Each round offers every repeated pair another's second image. It takes it where that makes no more repeats: an
        exchange that makes as many moves the search on.
        """
        fewest, since = len(self.a), 0
        for _ in range(_REPAIRS):
            codes = self._codes(self.a, self.second())
            again = np.flatnonzero(_repeated(codes))
            fewest, since = (len(again), 0) if len(again) < fewest else (fewest, since + 1)
            if not len(again) or since > _HOPE:
                return
            one = self.rng.permutation(again)
            other = self.first[one] + self.rng.integers(0, self.size[one])
            # A pair takes part once a round, so that what is counted below holds for each exchange by itself.
            apart = ~_repeated(np.concatenate([one, other])).reshape(2, -1).any(axis=0)
            one, other = one[apart], other[apart]
            fits = self._may(one, other)
            one, other = one[fits], other[fits]
            both, theirs = np.concatenate([one, other]), np.concatenate([other, one])
            new = self._codes(self.a[both], self.b[self.source[theirs]])
            ordered = np.sort(codes)
            gone, come = (_times(ordered, which).reshape(2, -1) for which in (codes[both], new))
            fits = (come > 0).sum(axis=0) <= (gone > 1).sum(axis=0)
            fits &= ~_repeated(new).reshape(2, -1).any(axis=0)
            self._swap(one[fits], other[fits])

    def without_repeats(self) -> NDArray[np.bool_]:
        """Takes out pairs whose impostor pair still comes twice, (P,) those that stay.

        A pair is removed together with its second image; the pair to which that image was assigned takes the image that
        the removed pair had. Where that would make a genuine pair, it is removed too.
        """
        stays = np.ones(len(self.a), dtype=np.bool_)
        while True:
            here = np.flatnonzero(stays)
            again = pd.Series(self._codes(self.a[here], self.second()[here])).duplicated().to_numpy()
            wrong = here[again | (self.person[here] == self.person[self.source[here]])]
            if not len(wrong):
                return stays
            stays[wrong] = False
            here = np.flatnonzero(stays)
            gets = self.source[here]
            while not stays[gets].all():
                gets = np.where(stays[gets], gets, self.source[gets])
            self.source[here] = gets

    def _may(self, one: Rows, other: Rows) -> NDArray[np.bool_]:
        # Whether these two may exchange what they got.
        got, gets = self.person[self.source[one]], self.person[self.source[other]]
        fits: NDArray[np.bool_] = (self.person[one] != gets) & (self.person[other] != got)
        return fits

    def _swap(self, one: Rows, other: Rows) -> None:
        self.source[one], self.source[other] = self.source[other], self.source[one]

    def _codes(self, a: Rows, b: Rows) -> Rows:
        # One number per unordered pair.
        codes: Rows = np.minimum(a, b) * self.count + np.maximum(a, b)
        return codes
