"""Pairs of images to verify: genuine pairs, and impostor pairs made of them at random or matched."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench.cohorts.pairing.exchange import exchange, without_partner
from reidbench.cohorts.pairing.image_pairs import Pairs, Rows
from reidbench.cohorts.pairing.matching import Matching
from reidbench.errors import ReidbenchError

# Rounds in which genuine pairs without a partner are turned round; most that can be helped are in the first few.
_TURNS = 12


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
    the probe is drawn. Impostor pairs come from genuine ones of different patients that exchange their second images.
    So every image is as often a probe, and as often a second image, among impostor pairs as among genuine ones: a score
    of one image alone gives chance exactly. Were impostors drawn anew, as Packhäuser et al. (2022) draw them, a patient
    with many images would be in genuine pairs more often than in impostor ones, and what tells such patients from
    others would beat chance without any link: even a constant release would, where probes are originals.

    *Random* negatives exchange with any pair. *Matched* negatives exchange among pairs whose second images have the
    same sex, the same view and the same age in whole years, so that these give chance exactly too. What is left to tell
    is whether two images are alike, in whatever way: as patients with many images may be among themselves.

    Genuine pairs that find none to exchange with are left out: what a patient has above half of all pairs (of a cell's,
    where they are matched), and in cells of few pairs what would make an impostor pair twice, which none does. Two
    images of a patient that are the same picture make no genuine pair: linking them is not recognition.

    Args:
        frame: the table of one split: ``patient``, for matched negatives some of ``sex``, ``age``, ``view``, and
            ``picture`` where some images of a patient are copies (equal numbers).
        negatives: how impostors are drawn.
        seed: decides all draws.
        max_pairs: at most so many pairs, genuine and impostors together.
        max_per_patient: at most so many genuine pairs of one patient, so that none outweighs the rest.

    Raises:
        ReidbenchError: fewer than two patients have two images, a cap leaves nothing, there is nothing to match on, or
            no pair finds another to exchange with.
    """
    _check_caps(max_pairs, max_per_patient)
    rng = np.random.default_rng([seed, len(frame)])
    patients = frame["patient"].to_numpy(dtype=np.int64)
    pictures = pictures_of(frame)
    check_linkable(patients, pictures)
    a, b = _genuine(patients, pictures, None if max_pairs is None else max_pairs // 2, max_per_patient, rng)
    a, b = _turned(a, b, rng.random(len(a)) < 0.5)
    if negatives == "matched":
        matching = Matching(frame)
        a, b = _partnered(a, b, patients, matching.cells, rng)
        impostors = exchange(a, b, patients, matching.cells[b], rng)
        alike, finer = f" whose second images are alike in {matching.named}", matching.finer
    else:
        impostors = exchange(a, b, patients, np.zeros(len(a), dtype=np.int64), rng)
        alike, finer = "", False
    kept = len(impostors.kept)
    if not kept:
        raise ReidbenchError(
            f"no impostor pair: of {len(a):,} genuine pairs no two of different patients{alike} can exchange images"
        )
    notes: tuple[str, ...] = ()
    if negatives == "matched" or kept < len(a):
        notes = (f"{kept:,} of {len(a):,} genuine pairs are kept, which exchange with others{alike} into impostors",)
    if finer:
        notes += ("ages have fractions, which are not matched: metadata alone may tell more than chance",)
    same = np.repeat([True, False], kept)
    a, b = np.concatenate([a[impostors.kept], impostors.a]), np.concatenate([b[impostors.kept], impostors.b])
    order = rng.permutation(len(a))  # A pair's place may not tell what it is.
    return Pairs(a[order], b[order], same[order], notes, kept if negatives == "matched" else None)


def pictures_of(frame: pd.DataFrame) -> Rows | None:
    """(N,) numbers, equal where two images of a patient are the same picture; None where no image has a copy."""
    if "picture" not in frame or not frame["picture"].duplicated().any():
        return None
    return frame["picture"].to_numpy(dtype=np.int64)


def check_linkable(patients: Rows, pictures: Rows | None = None) -> None:
    """Raises ReidbenchError where pairs of these images, (N,) their patients, cannot be told apart: none is genuine, or
    only one patient's are. Images with one number in ``pictures``, (N,), are copies, which make no pair.
    """
    different = patients if pictures is None else patients[np.unique(pictures, return_index=True)[1]]
    several = np.count_nonzero(np.unique(different, return_counts=True)[1] > 1)
    if several == 0:
        people = len(np.unique(patients))
        if len(different) < len(patients):
            raise ReidbenchError(
                f"no genuine pair: each of the {people:,} patients here has one picture, some under several names "
                f"({len(patients) - len(different):,} copies), so nothing can be linked; copies=keep takes copies for "
                "images"
            )
        raise ReidbenchError(
            f"no genuine pair: none of the {people:,} patients here has two images, so nothing can be linked"
        )
    if several == 1:
        raise ReidbenchError(
            "no impostor pair: only one patient here has two images, and impostors come of two such patients"
        )


def _turned(a: Rows, b: Rows, turn: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    return np.where(turn, b, a), np.where(turn, a, b)


def _partnered(a: Rows, b: Rows, patients: Rows, cells: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Turns genuine pairs round that find no partner in the cell of their second image, so that more of them do.

    No pair loses its partner: a patient that leaves a cell had no partner there, and a new one can only add some.
    """
    for _ in range(_TURNS):
        alone = without_partner(patients[a], cells[b], rng)
        turn = np.zeros(len(a), dtype=np.bool_)
        # Only some: two pairs that are turned round in step may miss each other for ever.
        turn[alone] = rng.random(len(alone)) < 0.5
        a, b = _turned(a, b, turn)
    return a, b


def _check_caps(max_pairs: int | None, max_per_patient: int | None) -> None:
    if max_pairs is not None and max_pairs < 2:
        raise ReidbenchError(f"max_pairs {max_pairs} leaves no genuine and impostor pair; it must be at least 2")
    if max_per_patient is not None and max_per_patient < 1:
        raise ReidbenchError(f"max_per_patient {max_per_patient} leaves no genuine pair; it must be at least 1")


def _genuine(
    patients: Rows, pictures: Rows | None, most: int | None, per_patient: int | None, rng: np.random.Generator
) -> tuple[Rows, Rows]:
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

    def rows(numbers: Rows) -> tuple[Rows, Rows]:
        later = np.searchsorted(ends, numbers, side="right")
        earlier = later - rank[later] + (numbers - (ends[later] - rank[later]))
        return order[earlier], order[later]

    pairs_of = sizes * (sizes - 1) // 2
    allowed = None
    if pictures is not None:
        one, other = rows(np.arange(total))
        allowed = np.flatnonzero(pictures[one] != pictures[other])
        pairs_of = np.bincount(np.repeat(np.arange(len(sizes)), pairs_of)[allowed], minlength=len(sizes))
        total = len(allowed)
    numbers = np.arange(total) if per_patient is None else _capped(pairs_of, per_patient, rng)
    if most is not None and most < len(numbers):
        numbers = numbers[np.sort(rng.choice(len(numbers), most, replace=False, shuffle=False))]
    return rows(numbers if allowed is None else allowed[numbers])


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
