"""Grey values of any range to those of eight bits, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Pixels that are converted at once: conversion takes eight bytes for each, several times.
_AT_ONCE = 2**21


def stretch(values: NDArray[np.floating | np.integer]) -> NDArray[np.float32]:
    """Values of any range to float32 in [0, 255]: the lowest finite one to 0, the highest to 255, a constant to 0.

    Raises:
        ValueError: no value is finite.
    """
    return between(values, *ends(values))


def stretched(values: NDArray[np.floating | np.integer], *, most: int) -> NDArray[np.float32]:
    """As :func:`stretch`, in bounded memory: (H, W) float32 in [0, 255], smaller where :func:`in_strips` says so.

    Args:
        values: (H, W).
        most: pixels of the result.

    Raises:
        ValueError: no pixel is finite.
    """
    low, high = ends(values)
    return in_strips(values.shape, lambda rows: between(values[rows], low, high), most=most)


def in_strips(
    shape: tuple[int, ...], show: Callable[[slice], NDArray[np.float32]], *, most: int
) -> NDArray[np.float32]:
    """An image made some rows at a time, (H, W) float32.

    One of more than ``most`` pixels is averaged over squares of pixels until it has no more, as a later shrinking would
    do.

    Args:
        shape: of the image, (H, W).
        show: makes some rows, (h, W).
        most: pixels of the result.
    """
    height, width = shape[:2]
    if height * width <= most:
        image = np.empty((height, width), dtype=np.float32)
        for rows in strips(shape):
            image[rows] = show(rows)
        return image
    side = int(np.ceil(np.sqrt(height * width / most)))
    columns = np.arange(0, width, side)
    widths = np.diff(np.append(columns, width))
    lines = []
    for top in range(0, height, side):
        mean = show(slice(top, top + side)).astype(np.float64).mean(axis=0)
        lines.append((np.add.reduceat(mean, columns) / widths).astype(np.float32))
    return np.stack(lines)


def strips(shape: tuple[int, ...]) -> list[slice]:
    """The rows of an image in parts that are converted at once."""
    step = max(1, _AT_ONCE // max(1, shape[1]))
    return [slice(top, top + step) for top in range(0, shape[0], step)]


def between(values: NDArray[np.floating | np.integer], low: float, high: float) -> NDArray[np.float32]:
    """Values as shares of a range, float32 in [0, 255]; what is not a number is 0, as is all of an empty range."""
    if high == low:
        return np.zeros(values.shape, dtype=np.float32)
    share = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    return (np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0) * 255).astype(np.float32)


def ends(values: NDArray[np.floating | np.integer]) -> tuple[float, float]:
    """The lowest and the highest finite value.

    Raises:
        ValueError: no value is finite.
    """
    flat = values.reshape(-1)
    low, high = np.inf, -np.inf
    for top in range(0, flat.size, _AT_ONCE):
        some = _finite(flat[top : top + _AT_ONCE])
        if some.size:
            low, high = min(low, float(some.min())), max(high, float(some.max()))
    if low > high:
        raise ValueError("no finite pixel")
    return low, high


def _finite(values: NDArray[np.floating | np.integer]) -> NDArray[np.floating | np.integer]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values
