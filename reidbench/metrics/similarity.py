"""Scores of embeddings in blocks, with equal images scored equally."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.retrieval import ScoreBlock


def euclidean_scores(query: ArrayLike, gallery: ArrayLike) -> ScoreBlock:
    """Negative squared Euclidean distances between embeddings: the order that Euclidean distance gives.

    A matrix product may round equal columns differently, by where they lie in it, and so break a tie by file order.
    Equal gallery embeddings are therefore scored once and share that score.

    Args:
        query: (Q, D) embeddings, finite.
        gallery: (G, D) embeddings, finite.

    Returns:
        A function from a slice of the queries to their scores (B, G), float32, or float64 if either input is float64.

    Raises:
        ValueError: not two-dimensional, dimensions differ, or a value is not finite.
    """
    left, right = _embeddings(query, "query"), _embeddings(gallery, "gallery")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"query embeddings have {left.shape[1]} dimensions, gallery embeddings {right.shape[1]}")
    common = np.result_type(left, right)
    # Distances don't change with the origin; near the data's middle, less is lost to rounding.
    middle = right.mean(axis=0, dtype=np.float64).astype(common) if len(right) else np.zeros(right.shape[1], common)
    distinct, place = np.unique(right, axis=0, return_inverse=True)
    every_one_differs = len(distinct) == len(right)
    columns = (right if every_one_differs else distinct).astype(common) - middle
    rows = left.astype(common) - middle
    column_norms, row_norms = (columns**2).sum(axis=1), (rows**2).sum(axis=1)

    def block(which: slice) -> NDArray[np.floating[Any]]:
        scores: NDArray[np.floating[Any]] = rows[which] @ (2 * columns).T
        scores -= column_norms
        scores -= row_norms[which][:, np.newaxis]
        return scores if every_one_differs else scores[:, place]

    return block


def _embeddings(values: ArrayLike, what: str) -> NDArray[np.floating[Any]]:
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"{what} embeddings must be two-dimensional, not of shape {array.shape}")
    floats: NDArray[np.floating[Any]] = array if array.dtype == np.float32 else array.astype(np.float64)
    if not np.isfinite(floats).all():
        raise ValueError(f"{what} embeddings are not all finite")
    return floats
