"""The loss of findings of which some are unknown: for the diagnostic classifiers, and for plugins that train one."""

from __future__ import annotations

import torch
from torch.nn import functional

#: A loss above this share of the label frequencies' loss means that the images told the network nothing.
LEARNED_BELOW = 0.995


def masked_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, *, dim: int | None = None) -> torch.Tensor:
    """Binary cross-entropy of several labels with logits, averaged over the known labels only.

    Args:
        logits: (B, L).
        labels: (B, L) 1 or 0, NaN where unknown.
        dim: the dimension to average over: 1 gives a loss for each image, which no other image has a part in; None
            averages over the whole batch.

    Returns:
        A scalar, or with ``dim`` a tensor without that dimension; 0 where no label is known.
    """
    known = ~labels.isnan()
    losses = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    if dim is None:
        return (losses * known).sum() / known.sum().clamp(min=1)
    return (losses * known).sum(dim=dim) / known.sum(dim=dim).clamp(min=1)


def frequency_loss(labels: torch.Tensor, *, per_image: bool = False) -> float:
    """The loss of a network that predicts each label's frequency for every image.

    Args:
        labels: (N, L) of the training images, NaN where unknown. A label that is known of no image does not count.
        per_image: the mean over the images' own means, in place of the mean over all known labels.
    """
    rates = labels.nanmean(dim=0).clamp(1e-6, 1 - 1e-6)
    logits = torch.logit(rates).expand_as(labels).nan_to_num()
    return float(masked_cross_entropy(logits, labels, dim=1 if per_image else None).mean())


def beats_frequencies(loss: float, labels: torch.Tensor, *, per_image: bool = False) -> bool:
    """Whether a training loss is below :data:`LEARNED_BELOW` times :func:`frequency_loss`; False for NaN."""
    return loss < LEARNED_BELOW * frequency_loss(labels, per_image=per_image)
