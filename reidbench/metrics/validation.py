"""Checks that every metric makes of the arrays it is given, and patients as small whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


def score_vector(scores: ArrayLike, what: str = "scores") -> Floats:
    """Scores as a (P,) float64 array; ±inf has its place in the order and is allowed.

    Raises:
        ValueError: not one-dimensional, or NaN among them, which has no place in any order.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, not of shape {values.shape}")
    if np.isnan(values).any():
        raise ValueError(f"{what} hold {int(np.isnan(values).sum())} NaN of {len(values)}; a NaN cannot be ranked")
    return values


def binary(flags: ArrayLike, what: str) -> Bools:
    """An array of booleans, or of the numbers 0 and 1, as booleans.

    Raises:
        ValueError: any other value.
    """
    values = np.asarray(flags)
    if values.dtype == np.bool_:
        return values
    # An empty list arrives as float64; it holds no wrong value.
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"{what} must be booleans or 0 and 1")
    return values.astype(np.bool_)


def scored_pairs(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, Bools]:
    """Scores (P,) and whether each pair is of one patient (P,), checked.

    Raises:
        ValueError: shapes differ, a NaN score, or ``same`` is not boolean.
    """
    values, flags = score_vector(scores), binary(same, "same")
    if flags.shape != values.shape:
        raise ValueError(f"scores have shape {values.shape}, same has {flags.shape}")
    return values, flags


def codes(*identifiers: ArrayLike) -> tuple[list[Indices], int]:
    """Identifiers (patients, images) of several arrays, numbered 0..K-1 by one common table.

    Returns:
        One (n,) array of codes for each array given, and K, the number of different identifiers.

    Raises:
        ValueError: floating-point identifiers, of which large ones coincide (above 2**24 in float32).
    """
    arrays = [np.asarray(each) for each in identifiers]
    for array in arrays:
        if array.ndim != 1:
            raise ValueError(f"identifiers must be one-dimensional, not of shape {array.shape}")
        if array.size and array.dtype.kind == "f":
            raise ValueError("identifiers must be whole numbers or text: large floating-point numbers coincide")
    if all(array.dtype.kind == "i" for array in arrays):
        return _whole_codes(arrays)
    table: dict[Any, int] = {}
    numbered = [
        np.array([table.setdefault(one, len(table)) for one in array.tolist()], dtype=np.intp) for array in arrays
    ]
    return numbered, len(table)


def _whole_codes(arrays: list[NDArray[Any]]) -> tuple[list[Indices], int]:
    """Codes of whole numbers, numbered as any others by first appearance, without a loop over them."""
    joined = np.concatenate(arrays)
    values, place = np.unique(joined, return_inverse=True)
    # Written from the end, so that what stays is where each appears first.
    first = np.empty(len(values), dtype=np.intp)
    first[place[::-1]] = np.arange(len(joined))[::-1]
    number = np.empty(len(values), dtype=np.intp)
    number[np.argsort(first)] = np.arange(len(values))
    return np.split(number[place], np.cumsum([len(array) for array in arrays])[:-1]), len(values)
