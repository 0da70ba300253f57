"""What the two siamese attackers share: hyperparameters, training, embedding, weights files."""

from __future__ import annotations

import copy
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.losses import AdaCos, ArcFace, WithClasses
from reidbench.attackers.network import NetworkAttacker, summary
from reidbench.attackers.siamese_network import Siamese, validation_auc
from reidbench.attackers.until_flat import train_until_flat
from reidbench.networks.architectures.front import Equalize, front
from reidbench.networks.architectures.siamese import EmbeddingNet
from reidbench.networks.augment import Augmentation
from reidbench.networks.history import Training
from reidbench.networks.samplers import PatientBatches
from reidbench.networks.training import Length, Precision, length, seed_of
from reidbench.progress import Progress

#: Two CPU cores, 64²: it begins with weights that ship with the package, and needs half the passes of random ones.
#: Weights that reach 0.975 on validation pairs were made no better by such short trainings (docs/attackers.md).
QUICK: dict[str, Any] = {"weights": "phantom-2", "epochs": 15, "min_steps": 100, "enough": 0.975}
#: Weights by attacker, trained on generated patients of either recipe alone: the files of the shipped bundles of these
#: names.
SHIPPED = {name: Path(__file__).parents[1] / "bundles" / "shipped" / name for name in ("phantom", "phantom-2")}
#: Checkpoints of a training. A GPU makes a pass over some thousand images in seconds, which writing a large network's
#: state would double.
MOST_ROUNDS = 20
#: One GPU, 128²: the recipe that was measured there, and the alignment, equalization and classes that made it stronger
#: at 64² (docs/attackers.md). It needs no weights from elsewhere, and its schedule is long enough for tens of thousands
#: of images.
STANDARD: dict[str, Any] = {
    "backbone": "resnet_small_32",
    "batch_size": 256,
    "epochs": 60,
    "min_steps": 1500,
    "max_steps": 100_000,
    "warm_epochs": 15,
    "warm_min_steps": 400,
    "warm_max_steps": 25_000,
    "average": 0.999,
    "align": True,
    "equalize": "local",
    "classes": "adacos",
    # It has the time: an informed attacker of a mild defense trains too, though the ignorant one is good already.
    "enough": None,
    "longest": 4,
    "precision": "bf16-mixed",
    "augmentation": {"rotation": 7, "shift": 0.05, "scale": 0.1, "aspect": 0.05, "erase": 0.25},
}


class SiameseAttacker(NetworkAttacker):
    """A trained siamese network: a backbone, a grid of its features, a linear map, and a head that compares.

    A subclass gives the head and the objective; all else is here. Equal seeds give equal weights on a CPU.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}, "standard": STANDARD}

    backbone: str = Field("resnet_small", description="resnet_small[_WIDTH[xBLOCKS]], a torchvision name, or timm:NAME")
    weights: str = Field(
        "random",
        description="first weights: random, phantom-2 or phantom (trained on generated patients of version 2 or 1; "
        "shipped, for the default network alone), or the backbone's: imagenet, or a file",
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
    longest: int = Field(
        1,
        ge=1,
        le=64,
        description="at most so many times that length: as long as the validation AUC rises at the end, training goes "
        "on; 1: never",
    )
    enough: float | None = Field(
        0.995,
        gt=0,
        description="validation AUC from which weights that a training would begin with are kept as they are; none: "
        "never",
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    average: float | None = Field(
        None, gt=0, lt=1, description="decay a step of a moving average of the weights, less in its first steps"
    )
    precision: Precision = Field("32-true", description="of training")
    align: bool = Field(
        False, description="a small network moves images to one pose first, and is trained with the rest"
    )
    equalize: Equalize = Field(
        "none", description="intensities first compared within a part of the image: none, local or clahe"
    )
    classes: Literal["none", "adacos", "arcface"] = Field(
        "none",
        description="a loss beside the others that takes each train patient for a class: none, adacos, arcface; "
        "not where training goes on from another one",
    )
    class_weight: float = Field(1.0, gt=0, description="weight of that loss")
    class_margin: float = Field(0.2, ge=0, lt=1.5, description="arcface's angular margin, in radians")
    class_scale: float = Field(16.0, gt=0, description="arcface's factor on cosines")
    devices: int = Field(
        1, ge=1, description="GPUs, or processes on a CPU, that train together (DDP), each on its share of a batch"
    )
    augmentation: Augmentation = Field(Augmentation(), description="random changes of the images in training")
    test_shift: float = Field(
        0.015, ge=0, le=0.25, description="at test time an image is also seen moved by this share of its size; 0: not"
    )

    @model_validator(mode="after")
    def _shipped_weights_fit(self) -> SiameseAttacker:
        shape = {name: getattr(self, name) for name in ("backbone", "dimensions", "grid", "align", "equalize")}
        defaults = {name: SiameseAttacker.model_fields[name].default for name in shape}
        if self.weights in SHIPPED and shape != defaults:
            network = ", ".join(f"{name}={value}" for name, value in defaults.items())
            raise ValueError(f"weights={self.weights} are those of {network}; another network needs weights=random too")
        return self

    @abstractmethod
    def objective(self) -> nn.Module:
        """A fresh loss, an :class:`~reidbench.attackers.siamese_network.Objective`."""

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
        shipped = SHIPPED.get(self.weights)
        first = shipped / f"{self.name}.safetensors" if start is None and shipped is not None else start
        model = self.fresh(seed, weights=self.weights) if first is None else self.started(seed, first)
        before, reached = None, None
        if first is not None:
            before = copy.deepcopy(model)
            reached = validation_auc(before, val, device) if val is not None else None
            if reached is not None and self.enough is not None and reached >= self.enough:
                self.keep(before.to(device))
                return Training(0, 0, 0.0, [{"epoch": 0.0, "val_auc": reached}], learned=True, kept_start=True)
        # Only where there is something to train: it takes seconds to import.
        from reidbench.attackers.learners.siamese import Learner
        from reidbench.networks.trainer import run

        once = self._length(len(train.patients), warm=start is not None)
        objective = self._objective(train, seed, warm=start is not None)

        def train_cycle(network: Siamese, number: int, times: int) -> tuple[Siamese, list[dict[str, float]]]:
            plan, own = Length(once.epochs * times, once.steps), seed_of(seed, "cycle", number) if number else seed
            learner = Learner(
                network,
                # Its own weights, such as centres of classes, go on too.
                objective,
                train,
                val,
                batches=self._batches(train, own),
                augmentation=self.augmentation,
                length=plan,
                lr=self.lr if start is None else self.warm_lr,
                weight_decay=self.weight_decay,
                average=self.average,
                seed=own,
            )
            rows = run(
                learner,
                epochs=plan.epochs,
                steps=plan.steps,
                seed=own,
                # The same options make another number of rounds where MOST_ROUNDS is another.
                identity={
                    **self.fingerprint(train, seed, first),
                    "rounds": plan.epochs,
                    "batches": plan.steps,
                    "cycle": number,
                },
                device=device,
                # A training that was killed finds its finished cycles there.
                work_dir=work_dir / f"cycle-{number + 1}" if number else work_dir,
                devices=self.devices,
                precision=self.precision,
                progress=progress,
                description=f"training {self.name}" + (f", cycle {number + 1}" if number else ""),
            )
            return learner.result, rows

        best, history = train_until_flat(train_cycle, model, longest=self.longest, enough=self.enough)
        # Where the defense changes little, more training may only make the attacker forget.
        if before is not None and reached is not None and reached > best.val_auc:
            self.keep(before.to(device))
            return summary(history, kept_start=True)
        self.keep(best.network)
        return summary(history)

    def model(self, weights: str) -> Siamese:
        """The network with its head."""
        network = EmbeddingNet(
            self.backbone,
            weights=weights,
            dimensions=self.dimensions,
            grid=self.grid,
            dropout=self.dropout,
            front=front(equalize=self.equalize, align=self.align),
        )
        return Siamese(network, self.head(), test_shift=self.test_shift)

    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""
        shape = f"{self.grid}x{self.grid}x{self.dimensions}"
        first = [
            name for name, on in ((f"equalize={self.equalize}", self.equalize != "none"), ("align", self.align)) if on
        ]
        return {"attacker": self.name, "backbone": self.backbone, "shape": ", ".join([shape, *first])}

    def _objective(self, train: Scenario, seed: int, *, warm: bool) -> nn.Module:
        objective = self.objective()
        # The short training that goes on from another one would be over before it knew where its own classes lie.
        if self.classes == "none" or warm:
            return objective
        patients = int(train.patients.max()) + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "classes"))
            classes = (
                AdaCos(patients, self.dimensions)
                if self.classes == "adacos"
                else ArcFace(patients, self.dimensions, margin=self.class_margin, scale=self.class_scale)
            )
        return WithClasses(objective, classes, self.class_weight)

    def _length(self, images: int, *, warm: bool) -> Length:
        epochs, least, most = (
            (self.warm_epochs, self.warm_min_steps, self.warm_max_steps)
            if warm
            else (self.epochs, self.min_steps, self.max_steps)
        )
        return length(images, self.batch_size, epochs=epochs, min_steps=least, max_steps=most, most_rounds=MOST_ROUNDS)

    def _batches(self, train: Scenario, seed: int) -> PatientBatches:
        return PatientBatches(
            train.patients,
            batch_size=self.batch_size,
            images_per_patient=self.images_per_patient,
            singles=self.singles,
            seed=seed_of(seed, "batches"),
        )
