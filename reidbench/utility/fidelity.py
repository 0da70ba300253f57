"""How alike two sets of images are. Likeness is not utility: it doesn't say whether a nodule is still there."""

from __future__ import annotations

import math

import numpy as np
import torch
from kornia.metrics import ssim as kornia_ssim
from numpy.typing import NDArray

from reidbench.images import to_unit

WINDOW = 11  # Wang et al. (2004): an 11×11 Gaussian window.
BATCH = 256


def fidelity(originals: NDArray[np.uint8], released: NDArray[np.uint8], *, device: torch.device) -> tuple[float, float]:
    """SSIM (mean over images, window 11) and PSNR (dB, of the mean squared error over all pixels).

    Args:
        originals, released: (N, H, W) uint8, row i of both is one image.

    Returns:
        SSIM in [-1, 1], and PSNR, infinite for identical images. NaN for no image.
    """
    if len(originals) == 0:
        return math.nan, math.nan
    similarity, squared = 0.0, 0.0
    for start in range(0, len(originals), BATCH):
        a, b = (to_unit(images[start : start + BATCH], device) for images in (originals, released))
        similarity += float(kornia_ssim(a, b, WINDOW).mean(dim=(1, 2, 3)).sum())
        squared += float((a - b).double().pow(2).sum())
    mean_squared = squared / originals.size
    psnr = math.inf if mean_squared == 0 else -10 * math.log10(mean_squared)
    return similarity / len(originals), psnr
