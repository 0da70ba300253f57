"""Pixels: eight-bit grey levels to floats in [0, 1] and back, and images through a function in batches of one size.

This is the only place where pixels are converted, since two roundings that differ by half a grey level would publish
other images than are attacked. Torch is imported by the functions that need it, so that reading a table of images
does not wait for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reidbench.heap import freed_kept

if TYPE_CHECKING:
    import torch

#: Images that go through a function at a time.
BATCH = 128


def pixels_digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of the number and size of images and of their grey levels, for (N, H, W) uint8."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    for begin in range(0, len(pixels), BATCH):
        digest.update(np.ascontiguousarray(pixels[begin : begin + BATCH]).data)
    return digest.hexdigest()


def to_unit(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Converts pixels (B, H, W) uint8 to images (B, 1, H, W) float32 in [0, 1], as a copy on ``device``."""
    import torch

    device = torch.device(device)
    # Torch warns of read-only arrays, such as a memory-mapped store gives; only those are copied first.
    images = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    if device.type == "cuda":
        # From pinned memory the copy is queued behind what the GPU is doing, and the CPU goes on to the next step.
        images = images.pin_memory()
    return images.to(device, non_blocking=True).unsqueeze(1).to(torch.float32).div_(255)


def to_pixels(images: torch.Tensor) -> NDArray[np.uint8]:
    """Converts images (B, 1, H, W) in [0, 1] to pixels (B, H, W) uint8. Inverse of :func:`to_unit`.

    Rounded to the nearest grey level, halves to the even one; values outside of [0, 1] are clipped.
    """
    return to_uint8(images).cpu().numpy()


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """:func:`to_pixels` as a tensor on the device of the images: (B, 1, H, W) in [0, 1] to (B, H, W) uint8."""
    import torch

    return (images * 255).round_().clamp_(0, 255).to(torch.uint8).squeeze(1)


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """Rounds images in [0, 1] to steps of 1 / 255, as a file of eight bits would keep them; any shape, not in place."""
    return images.mul(255).round_().clamp_(0, 255).div_(255)


def round_grey(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Rounds grey values in [0, 255] to uint8, halves to the even level; values outside are clipped. Any shape."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def map_images(
    function: Callable[[torch.Tensor], torch.Tensor],
    pixels: NDArray[np.uint8],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = BATCH,
    rows: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Applies a function to images in batches of one fixed size, without gradients.

    The last batch is filled up with black images, whose results are dropped. Kernels are chosen by shape, so that with
    a fixed shape the result of an image does not depend on how many there are.

    Args:
        function: maps images (``batch_size``, 1, H, W) in [0, 1] on ``device`` to a tensor with as many rows.
        pixels: (N, H, W) uint8; may be memory-mapped, one batch is read at a time.
        rows: (M,) the images to map; all in their order by default.

    Returns:
        (M, ...) with the type and further dimensions of the function's result. Without any image the function is
        applied once to black ones, for these dimensions.
    """
    import torch

    count = len(pixels) if rows is None else len(rows)
    out: NDArray[Any] | None = None
    with torch.no_grad(), freed_kept():
        for start in range(0, max(count, 1), batch_size):
            stop = min(start + batch_size, count)
            batch = np.zeros((batch_size, *pixels.shape[1:]), dtype=np.uint8)
            batch[: stop - start] = pixels[start:stop] if rows is None else pixels[rows[start:stop]]
            found = function(to_unit(batch, device))[: stop - start].cpu().numpy()
            if out is None:
                out = np.empty((count, *found.shape[1:]), dtype=found.dtype)
            out[start:stop] = found
    assert out is not None
    return out
