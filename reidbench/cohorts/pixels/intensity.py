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
