"""Models that a defense publishes, as cached steps: trained once, every image's vector made once."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from reidbench.cohorts.base import Cohort
from reidbench.defenses.fingerprint import by_content
from reidbench.defenses.model import (
    Fitted,
    LabelledImages,
    ModelDefense,
    PublishedNetwork,
    ask_model,
    fit_model,
    published_logits,
    published_vectors,
)
from reidbench.errors import ReidbenchError
from reidbench.networks.history import Training
from reidbench.networks.training import seed_of
from reidbench.plugins import Found
from reidbench.progress import Progress, Silent
from reidbench.records.parts.provenance import DefenseInfo, PrivacyInfo
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.source_version import code_version, source_digest
from reidbench.steps.cache import CachedStep, StepCache, hyperparameters
from reidbench.steps.training import WEIGHTS, cached_training, save_network, training_info
from reidbench.threads import cpu_capability, one_thread

PRIVACY = "privacy.json"


class TrainedModel:
    """What a model defense publishes: a trained network, and its vector of every image.

    Args:
        defense: with its options.
        found: where it comes from.
        cohort: with all splits; the model is trained on the train split.
        coins: (P,) booleans by the cohort's patients: trained on these instead, of any split, as a shadow.
        shadow: the shadow's number, which its draws differ by.
        population: the public number of training patients; that of the train split unless given.

    Raises:
        ReidbenchError: the dataset has no findings to train a model on.
    """

    def __init__(
        self,
        defense: ModelDefense,
        found: Found,
        cohort: Cohort,
        *,
        settings: Settings,
        cache: StepCache,
        coins: NDArray[np.bool_] | None = None,
        shadow: int = 0,
        population: int | None = None,
    ) -> None:
        if not cohort.labels:
            raise ReidbenchError(
                f"defense {defense.name!r} trains a diagnostic model, and dataset {cohort.name!r} has no findings"
            )
        self.defense = defense
        self.found = found
        self.cohort = cohort
        self._settings = settings
        self._cache = cache
        what = "shadow" if population is None else "canaries"
        self._seed = settings.seed if coins is None else seed_of(settings.seed, what, shadow)
        self._population = population
        patients = cohort.frame["patient"].to_numpy()
        self._rows = cohort.rows("train") if coins is None else np.flatnonzero(coins[patients])
        self.key = {
            "published": "model",
            "revision": cohort.revision,
            "size": cohort.size,
            "defense": defense.name,
            "options": hyperparameters(defense),
            "distribution": [found.distribution, found.version],
            "source": source_digest(type(defense)),
            "code": code_version("reidbench.defenses", "reidbench.dp", "reidbench.images", "reidbench.networks"),
            "rows": "train" if coins is None else hashlib.sha256(self._rows.tobytes()).hexdigest(),
            "seed": self._seed,
            "cpu": cpu_capability() if settings.device.type == "cpu" else None,
            "device": settings.device.type,
            "torch": torch.__version__,
        }
        if population is not None:
            self.key["population"] = population

    @property
    def undefended(self) -> bool:
        """Whether this is what drops are counted from."""
        return self.defense == self.defense.undefended()

    def without_defense(self) -> TrainedModel:
        """The same model trained without the defense; itself, if it is that."""
        if self.undefended:
            return self
        plain = self.defense.undefended()
        return TrainedModel(plain, self.found, self.cohort, settings=self._settings, cache=self._cache)

    def shadow(self, number: int, coins: NDArray[np.bool_]) -> TrainedModel:
        """Another model of the same mechanism, trained on the patients whom the coins choose."""
        return TrainedModel(
            self.defense,
            self.found,
            self.cohort,
            settings=self._settings,
            cache=self._cache,
            coins=coins,
            shadow=number,
        )

    def before_training(self, number: int) -> TrainedModel:
        """The network of the model without any training; another initialization for each number."""
        return _Untrained(self, number)

    def with_canaries(self, number: int, canaries: Cohort, coins: NDArray[np.bool_]) -> TrainedModel:
        """Another model of the same mechanism, for as many patients, trained on the canaries that the coins choose."""
        return TrainedModel(
            self.defense,
            self.found,
            canaries,
            settings=self._settings,
            cache=self._cache,
            coins=coins,
            shadow=number,
            population=self._patients(),
        )

    def check(self) -> None:
        """Asks the defense whether it would train this model, unless that is done.

        Raises:
            ReidbenchError: it would not, with its reason.
        """
        if self._cache.known("model", self.key) is None:
            ask_model(self.defense, self._images())

    def train(self, *, progress: Progress) -> TrainingInfo:
        """How the model was trained; trains it, if that isn't done."""
        return training_info(self.training.make(progress))

    def privacy(self) -> PrivacyInfo | None:
        """What its training guarantees; None where nothing."""
        claimed = json.loads((self.training.read().path / PRIVACY).read_text())
        return PrivacyInfo(**claimed) if claimed else None

    def vectors(self, split: str) -> NDArray[np.float32]:
        """The published vectors of a split's images, (N, D)."""
        return np.asarray(np.load(self.vectors_step(split).make(Silent()).path / "vectors.npy"))

    def vectors_step(self, split: str) -> CachedStep:
        """The making of a split's vectors."""

        def write(folder: Path, progress: Progress) -> None:
            pixels = self.cohort.part(split).pixels
            with one_thread():
                found = published_vectors(self.defense, self._network, pixels, device=self._settings.device)
            np.save(folder / "vectors.npy", found)

        return CachedStep(self._cache, "published_vectors", {"model": self.training.digest, "split": split}, write)

    def logits(self, split: str) -> NDArray[np.float32]:
        """What the published model says of a split's images, (N, L)."""
        return published_logits(self._network, self.vectors(split), device=self._settings.device)

    def info(self) -> DefenseInfo:
        """The defense with its options, its source and what its training guarantees."""
        doc = (type(self.defense).__doc__ or "").strip()
        return DefenseInfo(
            name=self.defense.name,
            distribution=self.found.distribution,
            version=self.found.version,
            kind="none" if self.undefended else self.defense.kind,
            summary=doc.split("\n\n")[0].replace("\n", " ").strip(),
            options=by_content(self.defense.model_dump(mode="json")),
            privacy=self.privacy(),
            published=None if self.undefended else by_content(self.defense.unlike_published() or {}) or None,
            unmatched_break=None if self.undefended else self.defense.unmatched_break(),
        )

    @cached_property
    def training(self) -> CachedStep:
        """The model's training."""

        def fit(checkpoints: Path, progress: Progress) -> tuple[tuple[PublishedNetwork, Fitted], Training]:
            began = time.monotonic()
            network, fitted = self._fit(checkpoints, progress)
            seconds = time.monotonic() - began
            training = Training(fitted.epochs, fitted.images_seen, seconds, fitted.history, fitted.learned)
            return (network, fitted), training

        def save(trained: tuple[PublishedNetwork, Fitted], path: Path) -> None:
            network, fitted = trained
            save_network(network, path)
            guarantee = asdict(fitted.privacy) if fitted.privacy else None
            path.with_name(PRIVACY).write_text(json.dumps(guarantee))

        return cached_training(self._cache, "model", self.key, fit, save)

    def _fit(self, checkpoints: Path, progress: Progress) -> tuple[PublishedNetwork, Fitted]:
        return fit_model(
            self.defense,
            self._images(),
            seed=self._seed,
            device=self._settings.device,
            work_dir=checkpoints,
            progress=progress,
        )

    def _images(self) -> LabelledImages:
        frame = self.cohort.frame.iloc[self._rows]
        return LabelledImages(
            pixels=self.cohort.pixels[self._rows],
            patients=frame["patient"].to_numpy(),
            findings=frame[list(self.cohort.labels)].to_numpy(dtype=np.float64),
            identifiers=np.array([str(name) for name in frame["patient_id"]], dtype=np.str_),
            population=self._patients(),
        )

    def _patients(self) -> int:
        if self._population is not None:
            return self._population
        train = self.cohort.frame["split"] == "train"
        return int(self.cohort.frame.loc[train, "patient"].nunique())

    @cached_property
    def _network(self) -> PublishedNetwork:
        # Always read back from the file, so that a cached run and a fresh one go the same way.
        with torch.random.fork_rng(devices=[]):
            network = self.defense.network(self.cohort.size, len(self.cohort.labels))
        network.load_state_dict(load_file(self.training.read().path / WEIGHTS))
        return network


class _Untrained(TrainedModel):
    """A network as it is initialized. What it is initialized by does not depend on how it would be trained."""

    def __init__(self, model: TrainedModel, number: int) -> None:
        super().__init__(model.defense, model.found, model.cohort, settings=model._settings, cache=model._cache)
        self._seed = seed_of(self._settings.seed, "untrained", number)
        # Options of the training are in the key too: which of them decide the network, the defense alone knows.
        self.key |= {"published": "untrained", "seed": self._seed}

    def _fit(self, checkpoints: Path, progress: Progress) -> tuple[PublishedNetwork, Fitted]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = self.defense.network(self.cohort.size, len(self.cohort.labels))
        return network.eval(), Fitted(None, epochs=0, images_seen=0, learned=False)
