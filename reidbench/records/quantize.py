"""Scores in 16 bits: even levels from the lowest to the highest, so that a file of them is half as large.

A level is 1/65,535 of the range. Figures are made of scores that were brought to their levels first, so that they can
be computed again from the file to the last digit; two scores within a level tie, and ties count one half.

Even levels suit scores that spread over their range. One outlier, or probabilities close to 0 and 1, crowd into few of
them, and the attack would be judged by what its file lost. Such scores stay exact, at twice the size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIGHEST = 2**16 - 1
#: Of all pairs of values at most this share may become equal. With as many genuine as impostor pairs an AUC moves by no
#: more than that.
MOST_TIED = 0.001
# Different values that may meet at one level: some always do by chance, and the more, the more values there are. A
# threshold at a low false positive rate lies between few values, however few pairs these make.
_FEW, _CROWD = 10, 0.0002


def leveled(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each value at the level nearest to it; the same shape.

    Equal values stay equal, and no two change places. What is not finite throughout stays as it is, and so does what
    levels would merge too much of.
    """
    exact = np.asarray(values, dtype=np.float32)
    if not exact.size or not np.isfinite(exact).all():
        return exact
    codes, ends = _codes(exact)
    return exact if _merges(exact, codes) else _values(codes, ends)


def _merges(exact: NDArray[np.float32], codes: NDArray[np.uint16]) -> bool:
    """Whether levels take away too much of what told values apart."""
    _, first, counts = np.unique(exact, return_index=True, return_counts=True)
    # No two values change places, so those of a level are neighbours.
    starts = np.flatnonzero(np.diff(codes.ravel()[first].astype(np.int64), prepend=-1))
    together = np.add.reduceat(counts, starts)
    tied = float((together.astype(np.float64) ** 2).sum() - (counts.astype(np.float64) ** 2).sum()) / exact.size**2
    most = int(np.diff(starts, append=len(counts)).max()) - 1
    return tied > MOST_TIED or most > _FEW + _CROWD * exact.size


def pack(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float64]] | None:
    """Values at levels as two planes of bytes, high ones first, (2, *shape), and both ends of the range, (2,).

    Planes, since neighbouring high bytes are alike and compress well. None where a value lies beside its level: what is
    kept must be what was judged.
    """
    if not values.size or values.dtype != np.float32 or not np.isfinite(values).all():
        return None
    codes, ends = _codes(values)
    if not np.array_equal(_values(codes, ends), values):
        return None
    return np.stack([codes >> 8, codes & 0xFF]).astype(np.uint8), ends


def unpack(planes: NDArray[np.uint8], ends: NDArray[np.float64]) -> NDArray[np.float32]:
    """What :func:`pack` was given."""
    high, low = planes.astype(np.uint16)
    return _values(high << 8 | low, ends)


def _codes(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    ends = np.array([values.min(), values.max()], dtype=np.float64)
    step = (ends[1] - ends[0]) / HIGHEST
    places = (values.astype(np.float64) - ends[0]) / step if step else np.zeros(values.shape)
    return np.rint(places).astype(np.uint16), ends


def _values(codes: NDArray[np.uint16], ends: NDArray[np.float64]) -> NDArray[np.float32]:
    return (ends[0] + codes * ((ends[1] - ends[0]) / HIGHEST)).astype(np.float32)
