"""SGD under a 1cycle schedule: the rate goes up and down once, and the momentum the other way round."""

from __future__ import annotations

import torch
from torch import nn

#: The rate starts at the peak over 25 and ends ten thousand times lower; three tenths of the steps go up.
START, END, UP = 25.0, 1e4, 0.3
MOMENTUM = (0.85, 0.95)


def sgd_1cycle(
    parameters: list[nn.Parameter], *, peak: float, l2: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """SGD with a cycled rate (``peak``/25, ``peak``, ``peak``/250,000) and momentum (0.95, 0.85, 0.95), by cosines.

    Args:
        parameters: those that are trained; the L2 penalty is on matrices, not on biases and batch norms.
        steps: batches in all.
    """
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": l2}, {"params": others, "weight_decay": 0.0}]
    sgd = torch.optim.SGD(groups, lr=peak, momentum=MOMENTUM[1])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        sgd,
        peak,
        # The schedule cannot be made of fewer: its way up would have no step.
        total_steps=max(steps, 10),
        pct_start=UP,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=MOMENTUM[0],
        max_momentum=MOMENTUM[1],
        div_factor=START,
        final_div_factor=END,
    )
    return sgd, schedule
