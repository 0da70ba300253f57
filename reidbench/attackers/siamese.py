"""What the two built-in attackers share: hyperparameters, training, embedding, weights files."""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator
from torch import nn

from reidbench.attackers.base import Attacker, Fixed, Scenario
from reidbench.attackers.learner import Learner, PairHead, Siamese, validation_auc
from reidbench.attackers.weights import read_weights, write_weights
from reidbench.errors import ReidbenchError
from reidbench.networks.augment import Augmentation
from reidbench.networks.history import Training
from reidbench.networks.samplers import PatientBatches
from reidbench.networks.siamese import EmbeddingNet, embed_images
from reidbench.networks.training import Length, Precision, length, run, seed_of
from reidbench.progress import Progress

#: Two CPU cores, 64²: it begins with weights that ship with the package, and needs half the passes of random ones.
QUICK: dict[str, Any] = {"weights": "phantom", "epochs": 15, "min_steps": 100}
#: Weights by attacker, trained on generated patients alone: benchmarks/pretrain_phantom.py made them.
PHANTOM = Path(__file__).with_name("phantom")
#: One GPU, 256². Its schedule is long enough for tens of thousands of images, and its batch fits 24 GB.
STANDARD: dict[str, Any] = {
    "backbone": "resnet50",
    "weights": "imagenet",
    "grid": 4,
    "dropout": 0.2,
    "batch_size": 256,
    "epochs": 60,
    "min_steps": 1500,
    "max_steps": 100_000,
    "lr": 1e-3,
    "weight_decay": 0.05,
    "warm_epochs": 15,
    "warm_min_steps": 400,
    "warm_max_steps": 25_000,
    "warm_lr": 3e-4,
    "average": 0.999,
    "precision": "bf16-mixed",
    "augmentation": {"rotation": 7, "shift": 0.05, "scale": 0.1, "aspect": 0.05, "erase": 0.25},
}
#: A training whose loss stays within this share of an uninformed attacker's has learned nothing.
LEARNED = 0.01
#: Elements of a block of scores that is worked on at a time.
BLOCK = 1 << 22


class SiameseAttacker(Attacker):
    """A network that maps each image by itself, and a head that compares two of its vectors."""

    backbone: str = Field("resnet_small", description="resnet_small[_WIDTH[xBLOCKS]], a torchvision name, or timm:NAME")
    weights: str = Field(
        "random",
        description="first weights: random, phantom (trained on generated patients; shipped, for the default network "
        "alone), or the backbone's: imagenet, or a file",
    )
    dimensions: int = Field(128, ge=2, description="length of an image's vector")
    grid: int = Field(8, ge=1, description="cells a side that the feature map is averaged to")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the pooled features")
    batch_size: int = Field(128, ge=8, description="images through the network at a time")
    images_per_patient: int = Field(4, ge=2, description="at most so many images of a patient in a batch")
    singles: int = Field(0, ge=0, description="images a batch of patients who have only one")
    epochs: float = Field(30, gt=0, description="passes over the images, within min_steps and max_steps")
    min_steps: int = Field(300, ge=1, description="batches at least, so that a small cohort trains long enough")
    max_steps: int = Field(20_000, ge=1, description="batches at most")
    lr: float = Field(4e-3, gt=0, description="peak learning rate of the 1cycle schedule")
    warm_epochs: float = Field(6, gt=0, description="as epochs, from another training's weights")
    warm_min_steps: int = Field(80, ge=1, description="as min_steps, from another training's weights")
    warm_max_steps: int = Field(8_000, ge=1, description="as max_steps, from another training's weights")
    warm_lr: float = Field(2e-3, gt=0, description="as lr, from another training's weights")
    enough: float = Field(
        0.995,
        gt=0,
        description="validation AUC from which weights that a training would begin with are kept as they are",
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    average: float | None = Field(None, gt=0, lt=1, description="decay a step of a moving average of the weights")
    precision: Precision = Field("32-true", description="of training")
    devices: int = Field(
        1, ge=1, description="GPUs, or processes on a CPU, that train together (DDP), each on its share of a batch"
    )
    augmentation: Augmentation = Field(Augmentation(), description="random changes of the images in training")
    test_shift: float = Field(
        0.015, ge=0, le=0.25, description="at test time an image is also seen moved by this share of its size; 0: not"
    )

    _model: Siamese | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _shipped_weights_fit(self) -> SiameseAttacker:
        shape = {name: getattr(self, name) for name in ("backbone", "dimensions", "grid")}
        defaults = {name: SiameseAttacker.model_fields[name].default for name in shape}
        if self.weights == "phantom" and shape != defaults:
            network = ", ".join(f"{name}={value}" for name, value in defaults.items())
            raise ValueError(f"weights=phantom are those of {network}; another network needs weights=random too")
        return self

    @abstractmethod
    def head(self) -> PairHead:
        """A fresh head."""

    @abstractmethod
    def objective(self) -> nn.Module:
        """A fresh loss, an :class:`~reidbench.attackers.learner.Objective`."""

    def fit(
        self,
        train: Scenario,
        val: Fixed | None,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        start: Path | None = None,
        progress: Progress | None = None,
    ) -> Training:
        """Trains; see :meth:`Attacker.fit`. The training's ``val_auc`` is over all pairs of the validation images.

        There images are seen once, as they are: moved copies would take longer than a short training itself.
        """
        first = PHANTOM / f"{self.name}.safetensors" if start is None and self.weights == "phantom" else start
        model = self._fresh(seed, weights=first is None)
        before, reached = None, None
        if first is not None:
            read_weights(model, first, self._about())
            before = copy.deepcopy(model)
            reached = validation_auc(before, val, device) if val is not None else None
            if reached is not None and reached >= self.enough:
                self._model = before.to(device).eval()
                return Training(0, 0, 0.0, [{"epoch": 0.0, "val_auc": reached}], learned=True, kept_start=True)
        plan = self._length(len(train.patients), warm=start is not None)
        learner = Learner(
            model,
            self.objective(),
            train,
            val,
            batches=self._batches(train, seed),
            augmentation=self.augmentation,
            length=plan,
            lr=self.lr if start is None else self.warm_lr,
            weight_decay=self.weight_decay,
            average=self.average,
            seed=seed,
        )
        history = run(
            learner,
            epochs=plan.epochs,
            steps=plan.steps,
            seed=seed,
            identity=self._identity(train, seed, first),
            device=device,
            work_dir=work_dir,
            devices=self.devices,
            precision=self.precision,
            progress=progress,
            description=f"training {self.name}",
        )
        self._model = learner.result.eval()
        # Where the defense changes little, more training may only make the attacker forget.
        kept_start = False
        if before is not None and reached is not None and reached > history[-1]["val_auc"]:
            self._model, kept_start = before.to(device).eval(), True
        return _summary(history, kept_start=kept_start)

    def embed(self, images: NDArray[np.uint8], *, device: torch.device) -> NDArray[np.float32]:
        """Maps images (N, H, W) uint8 to vectors (N, D); equal images to equal vectors, to the last bit."""
        return embed_images(self._trained(), images, device=device)

    def score(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of pairs of vectors, (P, D) and (P, D) to (P,); higher means more likely one patient."""
        head = self._trained().head.cpu()
        step = max(1, BLOCK // max(1, a.shape[1]))
        out = np.empty(len(a), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(a), step):
                out[i : i + step] = head.pairs(_tensor(a[i : i + step]), _tensor(b[i : i + step])).numpy()
        return out

    def score_block(self, probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of every probe against every gallery image, (Q, D) and (G, D) to (Q, G)."""
        head = self._trained().head.cpu()
        right = _tensor(gallery)
        step = max(1, BLOCK // max(1, len(gallery)))
        out = np.empty((len(probes), len(gallery)), dtype=np.float32)
        with torch.no_grad():
            for i in range(0, len(probes), step):
                out[i : i + step] = head.block(_tensor(probes[i : i + step]), right).numpy()
        return out

    def save(self, path: Path) -> None:
        """Writes the weights (safetensors), whole or not at all."""
        write_weights(self._trained(), path, self._about())

    def load(self, path: Path, *, device: torch.device) -> None:
        """Reads weights that :meth:`save` wrote, strictly."""
        model = self._fresh(0, weights=False)
        read_weights(model, path, self._about())
        self._model = model.to(device).eval()

    @property
    def siamese(self) -> Siamese:
        """The trained network with its head, for whoever looks inside.

        Raises:
            ReidbenchError: it is neither trained nor loaded yet.
        """
        return self._trained()

    def _fresh(self, seed: int, *, weights: bool) -> Siamese:
        # Pre-trained weights are read only where no other weights come after them.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "weights"))
            network = EmbeddingNet(
                self.backbone,
                weights=self.weights if weights else "random",
                dimensions=self.dimensions,
                grid=self.grid,
                dropout=self.dropout,
            )
            return Siamese(network, self.head(), test_shift=self.test_shift)

    def _trained(self) -> Siamese:
        if self._model is None:
            raise ReidbenchError(f"attacker {self.name}: neither trained nor loaded yet")
        return self._model

    def _about(self) -> dict[str, str]:
        return {"attacker": self.name, "backbone": self.backbone, "shape": f"{self.grid}x{self.grid}x{self.dimensions}"}

    def _length(self, images: int, *, warm: bool) -> Length:
        if warm:
            return length(
                images,
                self.batch_size,
                epochs=self.warm_epochs,
                min_steps=self.warm_min_steps,
                max_steps=self.warm_max_steps,
            )
        return length(images, self.batch_size, epochs=self.epochs, min_steps=self.min_steps, max_steps=self.max_steps)

    def _batches(self, train: Scenario, seed: int) -> PatientBatches:
        return PatientBatches(
            train.patients,
            batch_size=self.batch_size,
            images_per_patient=self.images_per_patient,
            singles=self.singles,
            seed=seed_of(seed, "batches"),
        )

    def _identity(self, train: Scenario, seed: int, start: Path | None) -> dict[str, str]:
        return {
            "attacker": self.name,
            "hyperparameters": self.model_dump_json(),
            "seed": str(seed),
            "images": hashlib.sha256(train.patients.tobytes()).hexdigest(),
            "size": str(train.size),
            "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else "",
        }


def _summary(history: list[dict[str, float]], *, kept_start: bool) -> Training:
    late = history[-max(1, len(history) // 4) :]
    loss = float(np.mean([row["train_loss"] for row in late]))
    uninformed = float(np.mean([row["uninformed_loss"] for row in late]))
    return Training(
        epochs=len(history),
        images_seen=int(sum(row["images"] for row in history)),
        seconds=float(sum(row["seconds"] for row in history)),
        history=history,
        learned=loss < (1 - LEARNED) * uninformed,
        kept_start=kept_start,
    )


def _tensor(vectors: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
