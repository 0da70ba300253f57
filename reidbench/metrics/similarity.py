"""Scores of embeddings in blocks, with equal images scored equally."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.validation import Indices


class EuclideanScores:
    """What :func:`euclidean_scores` gives: call it with a slice of the queries."""

    def __init__(self, query: ArrayLike, gallery: ArrayLike) -> None:
        left, right = _embeddings(query, "query"), _embeddings(gallery, "gallery")
        if left.shape[1] != right.shape[1]:
            raise ValueError(f"query embeddings have {left.shape[1]} dimensions, gallery embeddings {right.shape[1]}")
        common = np.result_type(left, right)
        # Distances don't change with the origin; near the data's middle, less is lost to rounding.
        middle = right.mean(axis=0, dtype=np.float64).astype(common) if len(right) else np.zeros(right.shape[1], common)
        rows, columns = left.astype(common) - middle, right.astype(common) - middle
        self._row_norms = (rows**2).sum(axis=1)
        # 2ab - |b|² as one product, of one more dimension.
        self._rows = np.column_stack([2 * rows, np.full(len(rows), -1, common)])
        self._columns = np.ascontiguousarray(np.column_stack([columns, (columns**2).sum(axis=1)]).T)
        self._again, self._first = _repeated(right)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the scores."""
        return self._rows.dtype

    def fill(self, which: slice, out: NDArray[np.floating[Any]]) -> None:
        """Writes scores without what is the same for all images of the gallery, into ``out`` (B, G)."""
        np.matmul(self._rows[which], self._columns, out=out)
        out[:, self._again] = out[:, self._first]

    def __call__(self, which: slice) -> NDArray[np.floating[Any]]:
        """Scores of a slice of the queries, (B, G)."""
        rows = self._rows[which]
        out: NDArray[np.floating[Any]] = np.empty((len(rows), self._columns.shape[1]), dtype=rows.dtype)
        self.fill(which, out)
        out -= self._row_norms[which][:, np.newaxis]
        return out


def euclidean_scores(query: ArrayLike, gallery: ArrayLike) -> EuclideanScores:
    """Negative squared Euclidean distances between embeddings: the order that Euclidean distance gives.

    A matrix product may round equal columns differently, by where they lie in it, and so break a tie by file order.
    Equal gallery embeddings therefore share the score of the first of them.

    Args:
        query: (Q, D) embeddings, finite.
        gallery: (G, D) embeddings, finite.

    Returns:
        A function from a slice of the queries to their scores (B, G), float32, or float64 if either input is float64.

    Raises:
        ValueError: not two-dimensional, dimensions differ, or a value is not finite.
    """
    return EuclideanScores(query, gallery)


def _repeated(vectors: NDArray[np.floating[Any]]) -> tuple[Indices, Indices]:
    """Of vectors (G, D): which equal an earlier one, and the first that each of these equals."""
    # By their bytes, once -0 is made 0.
    numbers: dict[bytes, int] = {}
    first = np.array([numbers.setdefault(row.tobytes(), i) for i, row in enumerate(vectors + 0.0)], dtype=np.intp)
    again = np.flatnonzero(first != np.arange(len(first)))
    return again, first[again]


def _embeddings(values: ArrayLike, what: str) -> NDArray[np.floating[Any]]:
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"{what} embeddings must be two-dimensional, not of shape {array.shape}")
    floats: NDArray[np.floating[Any]] = array if array.dtype == np.float32 else array.astype(np.float64)
    if not np.isfinite(floats).all():
        raise ValueError(f"{what} embeddings are not all finite")
    return floats
