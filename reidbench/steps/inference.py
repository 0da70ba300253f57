"""A network that tells sex and age band from released images, as a cached step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from reidbench.cohorts.attributes import Attribute
from reidbench.networks.history import Training
from reidbench.progress import Progress
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.releases import Published
from reidbench.steps.training import WEIGHTS, cached_training, save_network, training_key
from reidbench.threads import one_thread
from reidbench.utility.classifier import ClassifierOptions, fit_classifier, new_classifier, predict

#: Its length as a share of the diagnostic classifier's, whose recipe it has: sex and age are told by coarser features.
SHARE = 0.25


def attribute_training(
    attributes: Sequence[Attribute], images: Published, *, settings: Settings, cache: StepCache
) -> CachedStep:
    """The training of a network of these attributes on the training patients' images of this kind.

    Args:
        attributes: of the images of the train part.
    """
    options = _options(settings)
    values = [[attribute.name, *attribute.values] for attribute in attributes]
    key = {
        **training_key(options, settings, "reidbench.utility", "reidbench.networks", "reidbench.cohorts.attributes"),
        "images": images.key,
        "attributes": values,
    }

    def fit(checkpoints: Path, progress: Progress) -> tuple[nn.Module, Training]:
        return fit_classifier(
            options,
            images.images("train").pixels,
            np.concatenate([attribute.truth for attribute in attributes], axis=1),
            seed=settings.seed,
            device=settings.device,
            work_dir=checkpoints,
            progress=progress,
            description="sex and age",
        )

    return cached_training(cache, "inference", key, fit, save_network)


def predict_attributes(
    training: CachedStep, attributes: Sequence[Attribute], images: NDArray[np.uint8], *, settings: Settings
) -> list[NDArray[np.float32]]:
    """Logits (N, V) of each attribute's values for images (N, H, W).

    Raises:
        ReidbenchError: the training is not in the cache.
    """
    widths = [len(attribute.values) for attribute in attributes]
    network = new_classifier(_options(settings).model_copy(update={"weights": "random"}), sum(widths))
    network.load_state_dict(load_file(training.read().path / WEIGHTS))
    with one_thread():
        logits = predict(network, images, device=settings.device)
    return np.split(logits, np.cumsum(widths)[:-1], axis=1)


def _options(settings: Settings) -> ClassifierOptions:
    classifier = settings.classifier
    return classifier.model_copy(
        update={"epochs": classifier.epochs * SHARE, "min_steps": max(1, round(classifier.min_steps * SHARE))}
    )
