"""One training over several processes, a GPU each: what goes through the network is shared out, all pairs are formed.

Each process sees its share of a batch, and the embeddings of all shares are gathered with their gradients. So the loss
is that of the whole batch, whatever the number of processes; only batch normalization sees a share (on GPUs it is
synchronized).
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from reidbench.errors import ReidbenchError


def processes() -> tuple[int, int]:
    """This process's rank, and how many there are: (0, 1) outside of a distributed training."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's rows of a batch. All get equally many, so that up to one fewer than processes are left out."""
    rank, count = processes()
    return rows[: len(rows) // count * count][rank::count]


def gathered(values: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, (B, …) to (B · processes, …), on each; gradients find their way back to each row.

    Every process then computes the same loss, and the gradients that come back are summed over all of them. A
    distributed training takes the mean of the weights' gradients over processes, which undoes that: what is left is
    the gradient of the one loss.
    """
    if processes()[1] == 1:
        return values
    found: torch.Tensor = _Gather.apply(values.contiguous())
    return found


class _Gather(torch.autograd.Function):
    """Rows of all processes; back come the gradients that all processes have for one's own rows, summed."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(values) for _ in range(processes()[1])]
        distributed.all_gather(parts, values)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        rank, count = processes()
        # A copy: what came in is autograd's, and other nodes may read it yet.
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed.chunk(count)[rank]


def check_sendable(thing: object) -> None:
    """Makes sure that a new process can read what it will be sent: one that cannot would leave this one waiting.

    Raises:
        ReidbenchError: it cannot be pickled, or is of a module that a new process finds nowhere, as a loose plugin's.
    """
    try:
        sent = pickle.dumps(thing)
    except Exception as error:
        raise ReidbenchError(f"several devices need new processes, and these cannot be sent all: {error}") from error
    _Reader(io.BytesIO(sent)).load()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        # Not by what is imported here already: a new process begins with nothing.
        found = (finder.find_spec(top, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        if top != "__main__" and not any(found):
            raise ReidbenchError(
                f"several devices need new processes, and these cannot import {module}: install it as a package, or "
                "train on one device"
            )
        return super().find_class(module, name)
