"""Pairs of images to verify: every genuine pair, and impostor pairs drawn at random or matched to the genuine ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.matching import Matching
from reidbench.errors import ReidbenchError

Rows = NDArray[np.int64]

# Redraws of random negatives; each leaves only what collided, so that a handful is plenty.
_ROUNDS = 30


@dataclass(frozen=True)
class Pairs:
    """Pairs of images of one table, in random order.

    Attributes:
        a, b: (P,) row numbers of the table: probes, and the images they are compared with.
        same: (P,) whether both are of one patient.
        notes: what a person must know, a line each.
        matched: with matched negatives, how many genuine pairs have an impostor and stay; otherwise None.
    """

    a: Rows
    b: Rows
    same: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    matched: int | None = None

    def __len__(self) -> int:
        return len(self.same)


def build_pairs(
    frame: pd.DataFrame,
    *,
    negatives: Literal["random", "matched"],
    seed: int,
    max_pairs: int | None = None,
    max_per_patient: int | None = None,
) -> Pairs:
    """Builds balanced pairs: genuine ones, and as many impostors.

    Genuine pairs are all combinations of two images of a patient, or a uniform draw of them where capped; which one is
    the probe is drawn. An impostor pair keeps the probe of a genuine pair and replaces the other image. Were both drawn
    anew, as Packhäuser et al. (2022) draw them, a patient with many images would be a probe more often in genuine pairs
    than in impostor ones, and a score of the probe alone would beat chance without any link: even a constant release
    would.

    *Random* negatives replace it by a uniform draw of another patient's image. *Matched* negatives replace it by one of
    another patient with the same sex, the same view and the same age, or up to one year away where there is none; so
    the metadata of an impostor pair differ as those of a genuine pair do. Genuine pairs for which there is no impostor
    are left out. No impostor pair comes twice.

    Args:
        frame: the table of one split: ``patient``, and for matched negatives some of ``sex``, ``age``, ``view``.
        negatives: how impostors are drawn.
        seed: decides all draws.
        max_pairs: at most so many pairs, genuine and impostors together.
        max_per_patient: at most so many genuine pairs of one patient, so that none outweighs the rest.

    Raises:
        ReidbenchError: no patient has two images, there is only one patient, a cap leaves nothing, or there is nothing
            to match on.
    """
    _check_caps(max_pairs, max_per_patient)
    rng = np.random.default_rng([seed, len(frame)])
    patients = frame["patient"].to_numpy(dtype=np.int64)
    a, b = _genuine(patients, None if max_pairs is None else max_pairs // 2, max_per_patient, rng)
    swap = rng.random(len(a)) < 0.5
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    if (patients == patients[0]).all():
        raise ReidbenchError("all images are of one patient: there is no impostor pair to tell from a genuine one")
    notes: tuple[str, ...] = ()
    matched = None
    if negatives == "matched":
        found = Matching(frame).draw(a, b, rng)
        a, b = a[found.genuine], b[found.genuine]
        c, d = found.a, found.b
        notes, matched = found.notes, len(c)
    else:
        c, d = _random_impostors(patients, a, rng)
        if len(c) < len(a):
            notes = (
                f"{len(a):,} genuine pairs, but only {len(c):,} impostor pairs can be made: the pairs are not balanced",
            )
    same = np.repeat([True, False], [len(a), len(c)])
    a, b = np.concatenate([a, c]), np.concatenate([b, d])
    order = rng.permutation(len(a))  # A pair's place may not tell what it is.
    return Pairs(a[order], b[order], same[order], notes, matched)


def _check_caps(max_pairs: int | None, max_per_patient: int | None) -> None:
    if max_pairs is not None and max_pairs < 2:
        raise ReidbenchError(f"max_pairs {max_pairs} leaves no genuine and impostor pair; it must be at least 2")
    if max_per_patient is not None and max_per_patient < 1:
        raise ReidbenchError(f"max_per_patient {max_per_patient} leaves no genuine pair; it must be at least 1")


def _genuine(patients: Rows, most: int | None, per_patient: int | None, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Genuine pairs, all or a uniform draw.

    Images are sorted by patient; an image that is number r of its patient makes r pairs with those before it. Pairs are
    thereby numbered, and any of them can be made from its number without listing the rest.
    """
    order = np.argsort(patients, kind="stable")
    grouped = patients[order]
    first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]]) if len(order) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(np.r_[first, len(order)])
    rank = np.arange(len(order)) - np.repeat(first, sizes)
    ends = np.cumsum(rank)
    total = int(ends[-1]) if len(ends) else 0
    if total == 0:
        raise ReidbenchError(
            f"no genuine pair: none of the {len(sizes):,} patients here has two images, so nothing can be linked"
        )
    if per_patient is not None:
        pairs_of = sizes * (sizes - 1) // 2
        numbers = _capped(pairs_of, per_patient, rng)
    else:
        numbers = np.arange(total)
    if most is not None and most < len(numbers):
        numbers = numbers[np.sort(rng.choice(len(numbers), most, replace=False, shuffle=False))]
    later = np.searchsorted(ends, numbers, side="right")
    earlier = later - rank[later] + (numbers - (ends[later] - rank[later]))
    return order[earlier], order[later]


def _capped(pairs_of: Rows, cap: int, rng: np.random.Generator) -> Rows:
    """Numbers of at most ``cap`` pairs of each patient, drawn uniformly; ``pairs_of`` how many each has."""
    start = np.cumsum(pairs_of) - pairs_of
    few = np.flatnonzero(pairs_of <= cap)
    kept = [np.repeat(start[few], pairs_of[few]) + _ramp(pairs_of[few])]
    for patient in np.flatnonzero(pairs_of > cap):
        kept.append(start[patient] + rng.choice(pairs_of[patient], cap, replace=False, shuffle=False))
    return np.sort(np.concatenate(kept))


def _ramp(lengths: Rows) -> Rows:
    """0..n-1 for each n, one after another."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _random_impostors(patients: Rows, probes: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """An impostor pair for each probe where one is left: another patient's image, uniformly drawn, no pair twice."""
    count = len(patients)
    pending, taken = probes, np.zeros(0, dtype=np.int64)
    done: list[tuple[Rows, Rows]] = []
    for _ in range(_ROUNDS):
        if len(pending) == 0:
            break
        other = rng.integers(0, count, len(pending))
        codes = np.minimum(pending, other) * count + np.maximum(pending, other)
        good = patients[pending] != patients[other]
        good[good] = ~pd.Series(np.concatenate([taken, codes[good]])).duplicated().to_numpy()[len(taken) :]
        done.append((pending[good], other[good]))
        taken = np.concatenate([taken, codes[good]])
        pending = pending[~good]
    # What many draws did not find is rare: a probe in more pairs than there are images of others left for it.
    left = set(taken.tolist())
    for probe in pending.tolist():
        others = np.flatnonzero(patients != patients[probe])
        free = [o for o in others.tolist() if min(probe, o) * count + max(probe, o) not in left]
        if free:
            other_one = int(rng.choice(free))
            left.add(min(probe, other_one) * count + max(probe, other_one))
            done.append((np.array([probe]), np.array([other_one])))
    return np.concatenate([c for c, _ in done]), np.concatenate([d for _, d in done])
