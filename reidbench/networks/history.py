"""What is kept of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Training:
    """What is kept of a training.

    Attributes:
        epochs, images_seen, seconds: how much of it there was.
        history: one row per epoch, numbers by name: ``epoch``, ``train_loss``, and ``val_…`` where there is validation.
        learned: False when the training loss never left its starting value; such a network says nothing of privacy.
        kept_start: the weights that the training started from did better on validation, and were kept.
    """

    epochs: int
    images_seen: int
    seconds: float
    history: list[dict[str, float]]
    learned: bool
    kept_start: bool = False
