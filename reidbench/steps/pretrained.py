"""What an attacker starts from where a bundle is at hand: the best of three candidates on the validation patients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.attackers.base import Attacker, Training
from reidbench.bundles.bundle import Bundle
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.progress import Progress
from reidbench.records.parts.training import Origin
from reidbench.settings import Settings
from reidbench.source_version import code_version
from reidbench.steps.attackers import START, AttackerTraining, BundledWeights, attacker_training, finite_vectors
from reidbench.steps.cache import CachedStep, StepCache, hyperparameters
from reidbench.steps.finished import Step
from reidbench.steps.releases import ATTACKERS_VALIDATION, Originals
from reidbench.steps.training import TRAINING, WEIGHTS, read_training, write_training
from reidbench.threads import one_thread


@dataclass(frozen=True, eq=False)
class PretrainedStart:
    """The attacker that others go on from: the bundle's as it is, fine-tuned on the cohort, or of the cohort alone.

    Attributes:
        template: the attacker that is trained on the cohort alone, untrained.
        pretrained: the bundle's, with its hyperparameters.
        originals, patients: the cohort's.
        validation_pairs: what the three are compared on; without any the bundle's attacker is taken as it is.
        known_cohort: whether the bundle was trained on the cohort's own training images: then it is taken as it is.
    """

    template: Attacker
    pretrained: Attacker
    bundle: Bundle
    originals: Originals
    patients: dict[str, NDArray[np.int64]]
    validation_pairs: Pairs | None
    known_cohort: bool
    settings: Settings
    cache: StepCache

    @property
    def compared(self) -> bool:
        """Whether there is anything to compare the bundle's attacker with, and on."""
        return self.validation_pairs is not None and not self.known_cohort and len(self.patients["train"]) > 0

    @cached_property
    def tuned(self) -> AttackerTraining:
        """The bundle's attacker after further training on the cohort's originals, or as it was if that is better."""
        told = self.bundle.card.attackers[self.template.name].weights
        weights = BundledWeights(self.bundle.weights(self.template.name), told.sha256)
        return self._training(self.pretrained, weights)

    @cached_property
    def own(self) -> AttackerTraining:
        """The attacker trained on the cohort's originals alone."""
        return self._training(self.template, None)

    @cached_property
    def chosen(self) -> AttackerTraining:
        """The best candidate, as a training that others go on from."""
        key: dict[str, Any] = {
            "name": self.template.name,
            "bundle": self.bundle.digest,
            "options": hyperparameters(self.pretrained),
            "code": code_version("reidbench.attackers", "reidbench.networks", "reidbench.images", "reidbench.metrics"),
            "torch": torch.__version__,
            "device": self.settings.device.type,
        }
        if self.compared:
            assert self.validation_pairs is not None
            key |= {"tuned": self.tuned.step.digest, "own": self.own.step.digest}
            key["pairs"] = self.validation_pairs.digest
            key["images"] = self.originals.digest("val", ATTACKERS_VALIDATION)
        step = CachedStep(self.cache, "start", key, self._write)
        return AttackerTraining(self.template, step, False, self.settings.device, self.pretrained)

    def candidates(self) -> list[tuple[CachedStep, str]]:
        """The trainings that have to be made before one is chosen, with what they are for people."""
        if not self.compared:
            return []
        name = self.template.name
        return [
            (self.own.step, f"train {name} on originals"),
            (self.tuned.step, f"train {name} of the bundle {self.bundle.card.name} further on originals"),
        ]

    def _training(self, template: Attacker, bundled: BundledWeights | None) -> AttackerTraining:
        return attacker_training(
            template,
            self.originals,
            self.originals,
            self.patients,
            settings=self.settings,
            cache=self.cache,
            bundled=bundled,
        )

    def _write(self, folder: Path, progress: Progress) -> None:
        unchanged = self.pretrained.model_copy()
        unchanged.load(self.bundle.weights(self.template.name), device=self.settings.device)
        candidates: list[tuple[Origin, Attacker, Training]] = [("bundle", unchanged, _untouched())]
        if self.compared:
            made: list[tuple[Origin, AttackerTraining]] = [("fine-tuned", self.tuned), ("cohort", self.own)]
            for origin, training in made:
                trained = training.read()
                candidates.append((origin, trained.attacker, read_training(trained.step)))
        aucs = [self._auc(attacker) for _, attacker, _ in candidates]
        best = 0
        for number, auc in enumerate(aucs):
            # Between equals the first is kept: the one that needs the least of the cohort.
            if auc is not None and auc > (aucs[best] or 0.0):
                best = number
        origin, attacker, kept = candidates[best]
        attacker.save(folder / WEIGHTS)
        write_training(kept, folder / TRAINING)
        compared = {name: auc for (name, _, _), auc in zip(candidates, aucs)}
        (folder / START).write_text(json.dumps({"origin": origin, "validation_auc": compared}, indent=1))

    def _auc(self, attacker: Attacker) -> float | None:
        pairs = self.validation_pairs
        if pairs is None or not self.compared:
            return None
        pixels = self.originals.images("val", ATTACKERS_VALIDATION).pixels
        with one_thread():
            vectors = finite_vectors(attacker.embed(pixels, device=self.settings.device), attacker)
        auc = metrics.roc_auc(attacker.score(vectors[pairs.a], vectors[pairs.b]), pairs.same)
        return None if np.isnan(auc) else float(auc)


def read_start(step: Step) -> dict[str, float | None] | None:
    """Validation AUC by candidate of a finished choice; None where the step is none."""
    path = step.path / START
    if not path.is_file():
        return None
    found: dict[str, float | None] = json.loads(path.read_text())["validation_auc"]
    return found


def _untouched() -> Training:
    """A training of no step: the bundle's weights are kept as they are."""
    return Training(0, 0, 0.0, [], learned=True, kept_start=True)
