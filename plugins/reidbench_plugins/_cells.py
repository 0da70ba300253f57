"""Means over square cells, shared by the defenses that publish them."""

import torch
import torch.nn.functional as F


def cell_means(images: torch.Tensor, cell: int) -> torch.Tensor:
    """Means over ``cell`` × ``cell`` pixels, (B, 1, H, W) to (B, 1, ⌈H/cell⌉, ⌈W/cell⌉).

    Cells at the right and lower edge may be cut off; theirs is the mean of the pixels that they have.
    """
    height, width = images.shape[-2:]
    size = (min(cell, height), min(cell, width))
    # Each mean is one loop over its own pixels, so it is the same to the last bit in every batch; in float64, since a
    # large cell adds up thousands of them.
    means = F.avg_pool2d(images.double(), size, ceil_mode=True, count_include_pad=False)
    return means.to(images.dtype)


def cell_sizes(height: int, width: int, cell: int) -> torch.Tensor:
    """The number of pixels of each cell: (⌈H/cell⌉, ⌈W/cell⌉)."""
    rows = torch.arange(0, height, cell)
    columns = torch.arange(0, width, cell)
    return torch.outer((height - rows).clamp(max=cell), (width - columns).clamp(max=cell)).float()


def fill_cells(cells: torch.Tensor, cell: int, height: int, width: int) -> torch.Tensor:
    """Gives every pixel its cell's value, the inverse of :func:`cell_means`: (B, 1, h, w) to (B, 1, H, W)."""
    rows = torch.arange(height, device=cells.device) // cell
    columns = torch.arange(width, device=cells.device) // cell
    return cells[:, :, rows[:, None], columns]
