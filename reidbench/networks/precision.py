"""Where a training in 16 bits must not use them."""

from __future__ import annotations

import torch


def in_full(device: torch.device) -> torch.autocast:
    """Within it nothing is lowered to 16 bits, though a mixed-precision training runs around it.

    For what a network sees and what is made of its embeddings. A position in an image, 1 in 256 pixels, is more than
    bfloat16's eight bits hold; cosines near 1 differ by less than its steps; and a defense publishes what it publishes,
    however an attacker is trained.
    """
    return torch.autocast(device.type, enabled=False)
