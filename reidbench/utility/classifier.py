"""The diagnostic classifier: which findings does an image show? Its AUC on a release is what is left for diagnosis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from reidbench.networks import training
from reidbench.networks.architectures.siamese import EmbeddingNet, embed_images
from reidbench.networks.augment import Augmentation
from reidbench.networks.history import Training
from reidbench.networks.losses import beats_frequencies
from reidbench.progress import Progress


class ClassifierOptions(BaseModel):
    """The classifier's hyperparameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str] = "classifier"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {},
        "standard": {
            "backbone": "resnet50",
            "weights": "imagenet",
            "grid": 1,
            "batch_size": 64,
            "epochs": 15,
            "lr": 3e-4,
            "precision": "bf16-mixed",
        },
    }
    # The 2022 paper measures no diagnostic utility; its preset uses the strongest classifier.
    presets["paper"] = presets["standard"]

    backbone: str = Field("resnet_small", description="as for attackers: resnet_small, a torchvision or timm name")
    weights: str = Field("random", description="random, imagenet, or a path to a weights file")
    grid: int = Field(4, ge=1, le=16, description="cells a side that features are averaged into")
    dropout: float = Field(0.2, ge=0, lt=1, description="on the averaged features")
    mirror: bool = Field(
        True, description="half of the training images are mirrored, and the logits of an image and its mirror averaged"
    )
    batch_size: int = Field(128, ge=2, description="images a step")
    epochs: float = Field(12, gt=0, description="passes over the training images")
    min_steps: int = Field(100, ge=1, description="steps at the least, for small cohorts")
    max_steps: int = Field(100_000, ge=1, description="steps at the most")
    lr: float = Field(6e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW, on matrices alone")
    # Wide in pose, mild in exposure: a finding is told by its shades.
    augmentation: Augmentation = Field(
        Augmentation(rotation=10, shift=0.06, scale=0.15, gamma=0.2, contrast=0.2, brightness=0.1),
        description="random changes of the images in training, besides mirroring",
    )
    precision: training.Precision = Field("32-true", description="Lightning's name; mixed precision is for GPUs")


class _BothSides(nn.Module):
    """A network that, once trained, averages its outputs for an image and for its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to (B, labels)."""
        logits: torch.Tensor = self.network(images)
        return logits if self.training else (logits + self.network(images.flip(-1))) / 2


def new_classifier(options: ClassifierOptions, labels: int) -> nn.Module:
    """An untrained classifier of that many findings: (B, 1, H, W) in [0, 1] to logits (B, labels)."""
    network = EmbeddingNet(
        options.backbone, weights=options.weights, dimensions=labels, grid=options.grid, dropout=options.dropout
    )
    return _BothSides(network) if options.mirror else network


def fit_classifier(
    options: ClassifierOptions,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.float64],
    *,
    seed: int,
    device: torch.device,
    work_dir: Path,
    progress: Progress | None = None,
    description: str = "classifier",
) -> tuple[nn.Module, Training]:
    """Trains a classifier.

    Args:
        pixels: (N, H, W) uint8.
        labels: (N, L) 0 or 1, NaN where unknown.
        work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.
    """
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed_of(seed, "classifier"))
        network = new_classifier(options, labels.shape[1])
    planned = training.length(
        len(pixels),
        options.batch_size,
        epochs=options.epochs,
        min_steps=options.min_steps,
        max_steps=options.max_steps,
    )
    targets = torch.from_numpy(labels.astype(np.float32))
    # Lightning takes seconds to import: only where there is something to train.
    from reidbench.networks import trainer
    from reidbench.utility.diagnosis_learner import DiagnosisLearner

    module = DiagnosisLearner(
        network,
        pixels,
        targets,
        batch_size=options.batch_size,
        lr=options.lr,
        weight_decay=options.weight_decay,
        augmentation=options.augmentation,
        mirror=options.mirror,
        length=planned,
        seed=seed,
    )
    history = trainer.run(
        module,
        epochs=planned.epochs,
        steps=planned.steps,
        seed=seed,
        identity={"options": options.model_dump(mode="json"), "seed": seed, "images": len(pixels)},
        device=device,
        work_dir=work_dir,
        precision=options.precision,
        progress=progress,
        description=description,
    )
    learned = beats_frequencies(history[-1]["train_loss"], targets)
    seen = planned.total * options.batch_size
    return network, Training(planned.epochs, seen, time.monotonic() - began, history, learned)


def predict(network: nn.Module, pixels: NDArray[np.uint8], *, device: torch.device) -> NDArray[np.float32]:
    """Logits (N, L) of images (N, H, W) uint8; identical images get identical ones."""
    return embed_images(network, pixels, device=device)
