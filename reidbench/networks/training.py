"""What every training here has in common beside its loop: its length, seeds, batches and optimizer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.backends import cudnn
from torch.utils.data import DataLoader

from reidbench.side_generator import SideGenerator

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        epochs: rounds that each end with a checkpoint.
        steps: batches in a round.
    """

    epochs: int
    steps: int

    @property
    def total(self) -> int:
        """Batches in all."""
        return self.epochs * self.steps


#: A round is no shorter than this many batches, so that a small cohort isn't checkpointed at every other batch.
MIN_ROUND = 25


def length(
    images: int, batch_size: int, *, epochs: float, min_steps: int, max_steps: int, most_rounds: int | None = None
) -> Length:
    """Batches for ``epochs`` passes over ``images``, within [min_steps, max_steps], cut into even rounds.

    A round is about a pass, and longer where there would be more than ``most_rounds``: each ends with a checkpoint.
    """
    a_pass = images / batch_size
    total = round(min(max(epochs * a_pass, min_steps), max_steps))
    rounds = max(1, round(total / max(a_pass, MIN_ROUND)))
    rounds = min(rounds, most_rounds or rounds)
    return Length(epochs=rounds, steps=max(1, round(total / rounds)))


def seed_of(*parts: object) -> int:
    """A seed in [0, 2**63) from any values; near values give unrelated seeds."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def side_generator(seed: int, side: str, *step: int, process: int = 0) -> SideGenerator:
    """The numbers of a side (``probe`` or ``gallery``) of a training step; those of a release are the same for both.

    Args:
        seed: of the training.
        step: its number; none for numbers of a whole pass.
        process: of several that train together, each with draws of its own.
    """
    own = (process,) if process else ()
    return SideGenerator(seed_of(seed, side, *step, *own), seed_of(seed, "release", *step))


def load_in_order(batches: Any) -> DataLoader[Any]:
    """Loads batches that are made already, in their order and unchanged; a process that trains too is sent it whole.

    Args:
        batches: a dataset of batches, or an iterable of them.
    """
    # A named function, since a lambda cannot be sent to another process.
    return DataLoader(batches, batch_size=None, shuffle=False, collate_fn=_unchanged)


def _unchanged(batch: Any) -> Any:
    return batch


def optimizer(
    parameters: list[tuple[str, torch.nn.Parameter]],
    *,
    lr: float,
    weight_decay: float,
    total_steps: int,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW under a 1cycle schedule (Smith and Topin 2019); no decay on biases, norms and other vectors."""
    matrices = [p for _, p in parameters if p.requires_grad and p.ndim > 1]
    vectors = [p for _, p in parameters if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    # All tensors in one call: on a CPU one by one they take thrice as long, a thirtieth of a small network's step.
    adamw = torch.optim.AdamW(groups, lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adamw, lr, total_steps=max(total_steps, 10), pct_start=0.2, div_factor=10, final_div_factor=100
    )
    return adamw, schedule


@contextmanager
def in_one_order() -> Iterator[None]:
    """Within it a GPU's convolutions add up in one order: ``identity`` is to train as no defense does."""
    before, cudnn.deterministic = cudnn.deterministic, True
    try:
        yield
    finally:
        cudnn.deterministic = before
