"""Diagnostic utility as cached steps: classifiers trained on originals and on the release, tested on both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from reidbench.cohorts.base import Cohort
from reidbench.errors import not_finite
from reidbench.networks.history import Training
from reidbench.progress import Progress
from reidbench.records.diagnosis import Images, few_patients, judge_predictions, truth_of
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.quantize import leveled
from reidbench.records.schema import Fidelity, Utility
from reidbench.records.scores import UNDEFENDED, RunScores, classifier_key
from reidbench.settings import Settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.finished import Step
from reidbench.steps.releases import Published
from reidbench.steps.training import WEIGHTS, cached_training, save_network, training_info, training_key
from reidbench.threads import one_thread
from reidbench.utility.classifier import fit_classifier, new_classifier, predict
from reidbench.utility.fidelity import fidelity

# Frozen on originals it punishes any change of look; trained on the release it may learn the new look; and what it
# learned there must hold on originals. Each question is another one.
TESTS: tuple[tuple[Images, Images], ...] = (("originals", "release"), ("release", "release"), ("release", "originals"))


def diagnose(
    parts: dict[str, Cohort],
    originals: Published,
    published: Published,
    kept: RunScores,
    *,
    settings: Settings,
    cache: StepCache,
) -> Utility | None:
    """What diagnosis is left in the release; None where the cohort has no findings. Predictions go into ``kept``.

    Raises:
        ReidbenchError: a classifier's training is not in the cache, or diverged.
    """
    test = parts["test"]
    if not test.labels:
        return None
    kinds: dict[Images, Published] = {"originals": originals, "release": published}
    left_out = few_patients(parts["train"], test, settings.finding_patients)

    def told(trained_on: Images, tested_on: Images) -> tuple[NDArray[np.float32], TrainingInfo]:
        step = classifier_training(parts["train"], kinds[trained_on], settings=settings, cache=cache).read()
        network = _read_classifier(step, settings, len(test.labels))
        with one_thread():
            logits = predict(network, kinds[tested_on].images("test").pixels, device=settings.device)
        if not np.isfinite(logits).all():
            raise not_finite("classifier", "predictions")
        return leveled(logits), training_info(step)

    before, _ = told("originals", "originals")
    kept.undefended[UNDEFENDED] = before
    classifiers = []
    for trained_on, tested_on in TESTS:
        logits, info = told(trained_on, tested_on)
        kept.predictions[classifier_key(trained_on, tested_on)] = logits
        judged = judge_predictions(
            logits,
            truth_of(test),
            test.frame["patient"].to_numpy(),
            tuple(test.labels),
            trained_on,
            tested_on,
            info,
            left_out=left_out,
            undefended=before,
            bootstrap_runs=settings.bootstrap_runs,
        )
        classifiers.append(judged)
    ssim, psnr = fidelity(test.pixels, published.images("test").pixels, device=settings.device)
    return Utility(
        classifiers=classifiers,
        finding_patients=settings.finding_patients,
        left_out=left_out,
        fidelity=Fidelity(ssim=ssim, psnr=psnr),
    )


def classifier_training(train: Cohort, images: Published, *, settings: Settings, cache: StepCache) -> CachedStep:
    """The training of a diagnostic classifier on the training patients' images of this kind.

    Args:
        train: with the findings.
    """
    options = settings.classifier
    key = {**training_key(options, settings, "reidbench.utility", "reidbench.networks"), "images": images.key}
    labels: NDArray[np.float64] = train.frame[list(train.labels)].to_numpy(dtype=np.float64)

    def fit(checkpoints: Path, progress: Progress) -> tuple[nn.Module, Training]:
        return fit_classifier(
            options,
            images.images("train").pixels,
            labels,
            seed=settings.seed,
            device=settings.device,
            work_dir=checkpoints,
            progress=progress,
        )

    return cached_training(cache, "classifier", key, fit, save_network)


def _read_classifier(step: Step, settings: Settings, labels: int) -> nn.Module:
    network = new_classifier(settings.classifier.model_copy(update={"weights": "random"}), labels)
    network.load_state_dict(load_file(step.path / WEIGHTS))
    return network
