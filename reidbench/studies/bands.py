"""What carries identity: each part of the images attacked alone, and all without it, by an attacker trained for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidbench import metrics
from reidbench.attackers.base import Attacker
from reidbench.cohorts.base import Cohort
from reidbench.cohorts.pairing.pairs import pictures_of
from reidbench.cohorts.pixels.image_parts import (
    Band,
    Part,
    Region,
    Whole,
    gain_of,
    left_by,
    octaves,
    variance_share,
)
from reidbench.errors import ReidbenchError
from reidbench.harness.attacks import add_steps
from reidbench.harness.experiment import Experiment
from reidbench.harness.plan import Costs, Plan
from reidbench.progress import Progress
from reidbench.records.figures import BOOTSTRAP_SEED, interval, judge_ranks, rank_images
from reidbench.records.ladder import full_ladder
from reidbench.records.parts.common import Interval
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.attackers import AttackerTraining, attacker_training, embedding, read_vectors
from reidbench.steps.cache import CachedStep
from reidbench.steps.image_parts import PublishedPart

#: The attacker that is trained for each part, if it is among those of the audit; otherwise the first of these.
USUAL = "retrieval"


@dataclass(frozen=True)
class PartFigures:
    """How well patients are found by a part of their images.

    Attributes:
        gains: the factors with which the part was published, one a fold.
        auc: of random impostors, one a fold, with intervals over patients.
        map_at_r: over the probes of all folds, with its interval over patients.
        learned: whether each fold's attacker did better in training than one that knows nothing.
        improving: whether a fold's attacker was still getting better when its training ended.
    """

    gains: tuple[float, ...]
    auc: tuple[Interval, ...]
    map_at_r: Interval
    learned: bool
    improving: bool


@dataclass(frozen=True)
class JudgedPart:
    """A part of the images, alone and taken away.

    Attributes:
        name: of the part.
        kind: ``band`` or ``region``.
        variance: its share in the variance of the judged images' pixels, about their mean; NaN if they do not vary.
        area: its share of the area; 1 for a band.
    """

    name: str
    kind: str
    variance: float
    area: float
    alone: PartFigures
    without: PartFigures


@dataclass(frozen=True)
class Bands:
    """What carries identity in the images of an audit.

    Attributes:
        attacker: the one that was trained for each part.
        judged: the names of the folds.
        patients, images: how many were judged.
        trained: patients that the attackers learned from, at least.
        chance: mAP@R of guessing.
        whole: the whole image, by an attacker of the same length of training.
        parts: the bands, finest first, then the regions.
    """

    attacker: str
    judged: tuple[str, ...]
    patients: int
    images: int
    trained: int
    chance: float | None
    whole: PartFigures
    parts: tuple[JudgedPart, ...]


@dataclass(frozen=True)
class _Fold:
    """One fold, with what is trained for each part of its images."""

    experiment: Experiment
    template: Attacker

    def require_training_patients(self) -> None:
        """Refuses a fold without patients that an attacker could be trained on.

        Raises:
            ReidbenchError: there are none.
        """
        cohort, counts = self.experiment.cohort, np.bincount(self.experiment.patients["train"])
        if (counts > 1).any() and np.count_nonzero(counts) > 1:
            return
        raise ReidbenchError(
            f"--bands: {cohort.name} has no training patient with several images, and an attacker is trained for each "
            "part; --folds 2 trains on the patients of the other fold"
        )

    def published(self, part: Part) -> PublishedPart:
        """The part of this fold's images."""
        parts = self.experiment.parts
        return PublishedPart(parts, part, gain_of(part, parts["train"].pixels), cache=self.experiment.cache)

    def training(self, published: PublishedPart) -> AttackerTraining:
        """The attacker of originals, trained further on a part of them."""
        experiment = self.experiment
        return attacker_training(
            self.template,
            published,
            published,
            experiment.patients,
            settings=experiment.settings,
            cache=experiment.cache,
            start=experiment.attack(self.template, full_ladder()[0], experiment.originals).ignorant,
        )

    def embedded(self, published: PublishedPart) -> CachedStep:
        """The vectors of the part of the test images."""
        return embedding(self.training(published), published, "test", cache=self.experiment.cache)

    def add_to(self, plan: Plan, part: Part) -> str:
        """Adds what is made for a part; gives the id of its last step."""
        experiment, published = self.experiment, self.published(part)
        start = experiment.attack(self.template, full_ladder()[0], experiment.originals).add_start(plan)
        needs = [add_steps(plan, published.steps(split), published) for split in ("train", "val", "test")]
        training = plan.add_cached(
            [self.training(published).step],
            f"train {self.template.name} on {published.name}",
            needs=[start, *needs],
            here=getattr(self.template, "devices", 1) != 1,
        )
        return plan.add_cached(
            [self.embedded(published)], f"embed {published.name} by {self.template.name}", needs=[training, *needs]
        )

    def judge(self, part: Part) -> tuple[float, Interval, metrics.QueryRanks, TrainingInfo]:
        """Gain, AUC, what each probe found, and how the attacker was trained."""
        experiment, published = self.experiment, self.published(part)
        trained = self.training(published).read()
        vectors = read_vectors(self.embedded(published).read())
        patients, pairs = experiment.patients["test"], next(iter(experiment.pairs.values()))
        scores = trained.score(vectors, vectors, pairs.a, pairs.b)
        found = metrics.bootstrap_verification_patients(
            scores,
            pairs.same,
            patients[pairs.a],
            patients[pairs.b],
            runs=experiment.settings.bootstrap_runs,
            seed=BOOTSTRAP_SEED,
        )
        ranks = rank_images(
            lambda rows: trained.score_block(vectors[rows], vectors),
            patients,
            pictures_of(experiment.parts["test"].frame),
            influence=True,
        )
        return published.gain, interval(found.auc), ranks, trained.training


def plan_bands(
    cohorts: Sequence[tuple[str, Cohort]], options: dict[str, Any], settings: Settings, progress: Progress
) -> PlannedBands:
    """The parts of the images of an audit, before anything is made.

    Args:
        cohorts: the folds with their names, each with patients to train on and patients to judge.
        options: of the dataset.

    Raises:
        ReidbenchError: there is nobody to train on.
    """
    template = next((one for one in settings.attackers if one.name == USUAL), settings.attackers[0])
    folds = [_Fold(Experiment(cohort, options, settings, progress), template) for _, cohort in cohorts]
    for fold in folds:
        fold.require_training_patients()
    return PlannedBands(tuple(name for name, _ in cohorts), folds)


@dataclass(frozen=True)
class PlannedBands:
    """What carries identity, before anything is made of it."""

    names: tuple[str, ...]
    folds: list[_Fold]

    def judge(self, progress: Progress) -> Bands:
        """Trains an attacker for each part, unless that is in the cache, and judges it."""
        first = self.folds[0].experiment
        plan = Plan()
        for part in self._every():
            for fold in self.folds:
                plan.want(fold.add_to(plan, part))
        plan.execute(progress, costs=Costs(first.cache.root), title="parts of the images")
        figures: dict[Part, PartFigures] = {}
        chance: float | None = None
        for part in self._every():
            if part not in figures:
                figures[part], chance = self._figures(part)
        tests = [fold.experiment.parts["test"] for fold in self.folds]
        parts = [
            JudgedPart(
                part.name,
                "band" if isinstance(part, Band) else "region",
                _mean([variance_share(part, test.pixels) for test in tests], [len(test) for test in tests]),
                part.share(first.cohort.size) if isinstance(part, Region) else 1.0,
                figures[part],
                figures[left_by(part)],
            )
            for part in self._parts()
        ]
        return Bands(
            attacker=self.folds[0].template.name,
            judged=self.names,
            patients=sum(len(np.unique(fold.experiment.patients["test"])) for fold in self.folds),
            images=sum(map(len, tests)),
            trained=min(len(np.unique(fold.experiment.patients["train"])) for fold in self.folds),
            chance=chance,
            whole=figures[Whole()],
            parts=tuple(parts),
        )

    def _figures(self, part: Part) -> tuple[PartFigures, float | None]:
        found = [fold.judge(part) for fold in self.folds]
        ranks = together([ranks for _, _, ranks, _ in found])
        guessed = together([metrics.chance_of(ranks) for _, _, ranks, _ in found])
        judged = judge_ranks(ranks, guessed, runs=self.folds[0].experiment.settings.bootstrap_runs)
        figures = PartFigures(
            tuple(gain for gain, _, _, _ in found),
            tuple(auc for _, auc, _, _ in found),
            judged.map_at_r,
            all(training.learned for _, _, _, training in found),
            any(training.still_improving for _, _, _, training in found),
        )
        return figures, judged.chance["map_at_r"]

    def _parts(self) -> list[Band | Region]:
        return [*octaves(self.folds[0].experiment.cohort.size), Region(border=True), Region(border=False)]

    def _every(self) -> Iterator[Part]:
        yield Whole()
        for part in self._parts():
            yield part
            yield left_by(part)


def together(parts: Sequence[metrics.QueryRanks]) -> metrics.QueryRanks:
    """The probes of all folds. Each fold numbers its patients from 0, and no patient is in two."""
    before = np.cumsum([0, *(int(part.patients.max()) + 1 for part in parts)])
    fields = [name for name in vars(parts[0]) if name not in ("patients", "influence")]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    patients = np.concatenate([part.patients + first for part, first in zip(parts, before)])
    known = [(part.influence, first) for part, first in zip(parts, before) if part.influence is not None]
    influence = None
    if len(known) == len(parts):
        influence = metrics.GalleryInfluence(
            np.concatenate([one.patients + first for one, first in known]),
            np.concatenate([one.gains for one, _ in known], axis=1),
        )
    return metrics.QueryRanks(patients=patients, influence=influence, **joined)


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights))
