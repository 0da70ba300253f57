"""What is kept of a training, and whether its validation curve is flat at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The end of a training is at least so many epochs.
LAST_EPOCHS = 3
#: A validation AUC that rises by more than this in an epoch is not flat.
FLAT = 0.002


@dataclass(frozen=True)
class Training:
    """What is kept of a training.

    Attributes:
        epochs, images_seen, seconds: how much of it there was.
        history: one row per epoch, numbers by name: ``epoch``, ``train_loss``, and ``val_…`` where there is validation;
            ``cycle``, from 2 on, where the learning rate rose again and the training went on.
        learned: False when the training loss never left its starting value, or ended above it; such a network says
            nothing of privacy.
        kept_start: the weights that the training started from did better on validation, and were kept.
    """

    epochs: int
    images_seen: int
    seconds: float
    history: list[dict[str, float]]
    learned: bool
    kept_start: bool = False


def final_slope(history: Sequence[Mapping[str, float | None]]) -> float | None:
    """How much the validation AUC rose in an epoch at the end of a training; None where that cannot be told.

    Within a cycle of the learning rate it is the slope of the least squares line through the last third of the epochs
    with a validation AUC, at least the last three. Where there are several cycles it is the slope between the ends of
    the last two: within each the AUC falls as the learning rate rises, and rises again as that falls.
    """
    known = [
        (float(row.get("epoch") or place + 1), auc, int(row.get("cycle") or 1))
        for place, row in enumerate(history)
        if (auc := row.get("val_auc")) is not None
    ]
    ends = {cycle: (epoch, auc) for epoch, auc, cycle in known}
    if len(ends) > 1:
        (before, old), (after, new) = sorted(ends.values())[-2:]
        return (new - old) / (after - before)
    last = known[-max(LAST_EPOCHS, -(-len(known) // 3)) :]
    if len(last) < LAST_EPOCHS:
        return None
    mean = sum(epoch for epoch, _, _ in last) / len(last), sum(auc for _, auc, _ in last) / len(last)
    spread = sum((epoch - mean[0]) ** 2 for epoch, _, _ in last)
    return sum((epoch - mean[0]) * (auc - mean[1]) for epoch, auc, _ in last) / spread if spread else None


def still_improving(history: Sequence[Mapping[str, float | None]]) -> bool:
    """Whether the validation AUC still rose when the training ended, so that a longer one would be stronger."""
    return (final_slope(history) or 0.0) > FLAT
