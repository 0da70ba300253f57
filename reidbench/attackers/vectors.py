"""Linking published vectors: a siamese head on top of them, trained on pairs of vectors of the attacker's patients."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from reidbench.attackers.base import Training
from reidbench.attackers.heads import ScaledDifference
from reidbench.attackers.losses import Contrast, PairsAndContrast
from reidbench.attackers.network import learned
from reidbench.attackers.siamese_network import Siamese
from reidbench.networks import training
from reidbench.networks.samplers import PatientBatches
from reidbench.progress import Progress


class VectorHeadOptions(BaseModel):
    """The siamese head's hyperparameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str] = "vector_head"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {},
        "standard": {"hidden": 512, "dimensions": 128, "epochs": 200, "batch_size": 512},
    }
    # The 2022 paper attacks no vectors; its preset uses the strongest head.
    presets["paper"] = presets["standard"]

    hidden: int = Field(128, ge=2, description="width of the hidden layer")
    dimensions: int = Field(64, ge=2, description="length of what is compared")
    dropout: float = Field(0.2, ge=0, lt=1, description="on the standardized vectors")
    batch_size: int = Field(256, ge=8, description="vectors a step")
    images_per_patient: int = Field(4, ge=2, description="at most so many vectors of a patient in a batch")
    epochs: float = Field(60, gt=0, description="passes over the vectors, within min_steps and max_steps")
    min_steps: int = Field(300, ge=1, description="steps at the least, for small cohorts")
    max_steps: int = Field(20_000, ge=1, description="steps at the most")
    lr: float = Field(3e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW, on matrices alone")
    temperature: float = Field(0.1, gt=0, description="of the contrastive loss")


class VectorHead(nn.Module):
    """Standardized vectors through one hidden layer, beside a linear map of them."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, options: VectorHeadOptions, vectors: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(vectors))
        self.register_buffer("scale", torch.ones(vectors))
        self.dropout = nn.Dropout(options.dropout)
        self.straight = nn.Linear(vectors, options.dimensions, bias=False)
        self.bent = nn.Sequential(
            nn.Linear(vectors, options.hidden), nn.ReLU(), nn.Linear(options.hidden, options.dimensions)
        )

    def standardize(self, vectors: NDArray[np.float32]) -> None:
        """Takes mean and deviation of the attacker's own vectors (N, D); what never varies counts for nothing."""
        deviation = vectors.std(axis=0)
        self.mean.copy_(torch.from_numpy(vectors.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, dimensions)."""
        standard = self.dropout((vectors - self.mean) * self.scale)
        mapped: torch.Tensor = self.straight(standard) + self.bent(standard)
        return mapped


def fit_head(
    options: VectorHeadOptions,
    vectors: NDArray[np.float32],
    patients: NDArray[np.int64],
    *,
    seed: int,
    device: torch.device,
    work_dir: Path,
    progress: Progress | None = None,
) -> tuple[Siamese, Training]:
    """Trains a head.

    Args:
        vectors: (N, D) as published, of the attacker's own patients.
        patients: (N,) int64.
        work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.

    Raises:
        ReidbenchError: there is no genuine pair, or no impostor pair.
    """
    began = time.monotonic()
    model = _fresh(options, vectors.shape[1], seed)
    assert isinstance(model.network, VectorHead)
    model.network.standardize(vectors)
    planned = training.length(
        len(vectors),
        options.batch_size,
        epochs=options.epochs,
        min_steps=options.min_steps,
        max_steps=options.max_steps,
    )
    batches = PatientBatches(
        patients,
        batch_size=options.batch_size,
        images_per_patient=options.images_per_patient,
        seed=training.seed_of(seed, "batches"),
    )
    # Lightning takes seconds to import: only where there is something to train.
    from reidbench.attackers.learners.vectors import VectorLearner
    from reidbench.networks import trainer

    learner = VectorLearner(
        model,
        vectors,
        patients,
        objective=PairsAndContrast(Contrast(options.dimensions, options.temperature), 1.0),
        batches=batches,
        lr=options.lr,
        weight_decay=options.weight_decay,
        length=planned,
    )
    history = trainer.run(
        learner,
        epochs=planned.epochs,
        steps=planned.steps,
        seed=seed,
        identity={"options": options.model_dump(mode="json"), "seed": seed, "vectors": vectors.shape},
        device=device,
        work_dir=work_dir,
        progress=progress,
        description="training vector_head",
    )
    seen = planned.total * options.batch_size
    return model.eval(), Training(planned.epochs, seen, time.monotonic() - began, history, learned(history))


@torch.no_grad()
def map_vectors(model: Siamese, vectors: NDArray[np.float32], *, device: torch.device) -> NDArray[np.float32]:
    """What the head compares: published vectors (N, D) to (N, dimensions)."""
    mapped = model.to(device).eval()(torch.from_numpy(np.ascontiguousarray(vectors)).to(device))
    found: NDArray[np.float32] = mapped.float().cpu().numpy()
    return found


def save_head(model: Siamese, path: Path) -> None:
    """Writes the weights (safetensors)."""
    save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, path)


def load_head(options: VectorHeadOptions, vectors: int, path: Path) -> Siamese:
    """Reads weights that :func:`save_head` wrote of vectors of this length, strictly."""
    model = _fresh(options, vectors, 0)
    model.load_state_dict(load_file(path))
    return model.eval()


def _fresh(options: VectorHeadOptions, vectors: int, seed: int) -> Siamese:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed_of(seed, "vector head"))
        return Siamese(VectorHead(options, vectors), ScaledDifference(options.dimensions))
