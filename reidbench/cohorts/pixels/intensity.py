"""Grey values of any range to those of eight bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretch(values: NDArray[np.floating | np.integer]) -> NDArray[np.float32]:
    """Values of any range to float32 in [0, 255]: the lowest finite one to 0, the highest to 255, a constant to 0."""
    real = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(real)
    if not finite.any():
        raise ValueError("no finite pixel")
    low, high = real[finite].min(), real[finite].max()
    if high == low:
        return np.zeros(real.shape, dtype=np.float32)
    share: NDArray[np.float64] = np.nan_to_num((real - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return (share * 255).astype(np.float32)


def stretched(values: NDArray[np.floating | np.integer], *, most: int) -> NDArray[np.float32]:
    """As :func:`stretch`, in bounded memory: (H, W) float32 in [0, 255].

    An image of more than ``most`` pixels is averaged over squares of pixels until it has no more, as a later shrinking
    would do.

    Args:
        values: (H, W).
        most: pixels that are converted at once.

    Raises:
        ValueError: no pixel is finite.
    """
    if values.size <= most:
        return stretch(values)
    rows = max(1, most // values.shape[1])
    ends = [_ends(values[top : top + rows]) for top in range(0, len(values), rows)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low > high:
        raise ValueError("no finite pixel")
    side = int(np.ceil(np.sqrt(values.size / most)))
    if high == low:
        return np.zeros((len(values) // side, values.shape[1] // side), dtype=np.float32)
    columns = np.arange(0, values.shape[1], side)
    lines = []
    for top in range(0, len(values), side):
        share = (values[top : top + side].astype(np.float64) - low) / (high - low)
        share = np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0).mean(axis=0)
        widths = np.diff(np.append(columns, values.shape[1]))
        lines.append((np.add.reduceat(share, columns) / widths * 255).astype(np.float32))
    return np.stack(lines)


def _ends(values: NDArray[np.floating | np.integer]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)
