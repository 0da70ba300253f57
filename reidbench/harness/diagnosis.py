"""Diagnostic utility as cached steps: classifiers trained on originals and on the release, tested on both."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.harness.attack import CHECKPOINTS, TRAINING, WEIGHTS, training_info, training_key
from reidbench.harness.evaluate import BOOTSTRAP_SEED, interval
from reidbench.harness.levels import leveled
from reidbench.harness.published import Published
from reidbench.harness.record import Classifier, Fidelity, TrainingInfo, Utility
from reidbench.harness.scores import RunScores, classifier_key
from reidbench.harness.settings import Settings
from reidbench.harness.steps import StepCache
from reidbench.progress import Progress
from reidbench.utility.classifier import fit_classifier, new_classifier, predict
from reidbench.utility.fidelity import fidelity

Kind = Literal["originals", "release"]
# Frozen on originals it punishes any change of look; trained on the release it may learn the new look; and what it
# learned there must hold on originals. Each question is another one.
TESTS: tuple[tuple[Kind, Kind], ...] = (("originals", "release"), ("release", "release"), ("release", "originals"))


def diagnose(
    parts: dict[str, Cohort],
    originals: Published,
    published: Published,
    kept: RunScores,
    *,
    settings: Settings,
    cache: StepCache,
    progress: Progress,
) -> Utility | None:
    """What diagnosis is left in the release; None where the cohort has no findings. Predictions go into ``kept``."""
    test = parts["test"]
    if not test.labels:
        return None
    kinds: dict[Kind, Published] = {"originals": originals, "release": published}
    classifiers = []
    for trained_on, tested_on in TESTS:
        network, info = _classifier(parts["train"], kinds[trained_on], settings, cache, progress)
        logits = leveled(predict(network, kinds[tested_on].images("test").pixels, device=settings.device))
        kept.predictions[classifier_key(trained_on, tested_on)] = logits
        classifiers.append(judge_predictions(logits, test, trained_on, tested_on, info, runs=settings.bootstrap_runs))
    ssim, psnr = fidelity(test.pixels, published.images("test").pixels, device=settings.device)
    return Utility(classifiers=classifiers, fidelity=Fidelity(ssim=ssim, psnr=psnr))


def judge_predictions(
    logits: NDArray[np.float32], test: Cohort, trained_on: Kind, tested_on: Kind, training: TrainingInfo, *, runs: int
) -> Classifier:
    """A classifier's predictions judged, each finding on the images of which it is known.

    Args:
        logits: (N, L) of the test images.
        runs: the run's bootstrap resamplings.
    """
    truth = test.frame[list(test.labels)].to_numpy(dtype=np.float64)
    judged = metrics.bootstrap_macro_auc_patients(
        logits,
        truth,
        test.frame["patient"].to_numpy(),
        runs=utility_runs(runs),
        seed=BOOTSTRAP_SEED,
    )
    return Classifier(
        trained_on=trained_on,
        tested_on=tested_on,
        macro_auc=interval(judged.macro),
        per_label={name: interval(found) for name, found in zip(test.labels, judged.labels)},
        training=training,
    )


def utility_runs(bootstrap_runs: int) -> int:
    """Resamplings behind the utility's intervals.

    A tenth of the pairs': fourteen labels each time, and no claim at low rates hangs on them.
    """
    return max(1, bootstrap_runs // 10)


def _classifier(
    train: Cohort, images: Published, settings: Settings, cache: StepCache, progress: Progress
) -> tuple[nn.Module, TrainingInfo]:
    options = settings.classifier
    key = {**training_key(options, settings, "reidbench.utility", "reidbench.networks"), "images": images.key}
    labels: NDArray[np.float64] = train.frame[list(train.labels)].to_numpy(dtype=np.float64)

    def make(folder: Path) -> None:
        network, training = fit_classifier(
            options,
            images.images("train").pixels,
            labels,
            seed=settings.seed,
            device=settings.device,
            work_dir=folder / CHECKPOINTS,
            progress=progress,
        )
        save_file({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
        (folder / TRAINING).write_text(json.dumps(asdict(training), indent=1))
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)

    step = cache.run("classifier", key, make)
    network = new_classifier(options.model_copy(update={"weights": "random"}), labels.shape[1])
    network.load_state_dict(load_file(step.path / WEIGHTS))
    return network, training_info(step.path / TRAINING, step.path / WEIGHTS, warm=False)
