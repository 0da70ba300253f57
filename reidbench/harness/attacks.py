"""One attacker on one rung: what it looks at, what has to be made for that, and its scores of the test images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.attackers.base import Attacker
from reidbench.bundles.bundle import scale_of
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.plan import Plan, PlannedStep
from reidbench.harness.scores.sources import Judged, Linked
from reidbench.progress import Progress
from reidbench.records.ladder import Rung
from reidbench.settings import Settings
from reidbench.source_version import code_version
from reidbench.steps.attackers import AttackerTraining, attacker_training, embedding, read_vectors
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.pretrained import PretrainedStart
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, Originals, Published
from reidbench.steps.restoration import Restored

CHOICE = "choice.json"


@dataclass(frozen=True, eq=False)
class Candidate:
    """An attacker that looks at one view of what is published.

    Attributes:
        training: of the attacker; nothing of it need be done.
        probe, gallery: what it holds, and what it searches.
        cache: of its vectors.
    """

    training: AttackerTraining
    probe: Published
    gallery: Published
    cache: StepCache

    def vectors(self, split: str) -> tuple[CachedStep, CachedStep]:
        """The vectors of a split's images as held and as published; of ``val`` as in validation."""
        draw = ATTACKERS_VALIDATION if split == "val" else PUBLISHED
        held, published = (
            embedding(self.training, side, split, draw, cache=self.cache) for side in (self.probe, self.gallery)
        )
        return held, published

    def validation(self, pairs: Pairs | None) -> Judged | None:
        """Scores and truth of the validation pairs; None where there are none."""
        if pairs is None:
            return None
        held, published = (read_vectors(step.read()) for step in self.vectors("val"))
        return self.training.read().score(held, published, pairs.a, pairs.b), pairs.same


@dataclass(frozen=True, eq=False)
class PlannedAttack:
    """An attacker on a rung, before anything of it is made.

    Attributes:
        template: the attacker, untrained.
        released: what is published.
        restored: the same with the defense undone.
        patients: (N,) by split.
        validation_pairs: of the validation split; None where it has none.
        known_cohort: whether the settings' bundle was trained on the training images of this cohort.
    """

    template: Attacker
    rung: Rung
    originals: Originals
    released: Published
    restored: Restored
    patients: dict[str, NDArray[np.int64]]
    validation_pairs: Pairs | None
    settings: Settings
    cache: StepCache
    known_cohort: bool = False

    @cached_property
    def pretrained(self) -> PretrainedStart | None:
        """What there is to start from; None where no bundle has this attacker."""
        found = self.settings.pretrained.get(self.template.name)
        if found is None or self.settings.bundle is None:
            return None
        return PretrainedStart(
            template=self.template,
            pretrained=found,
            bundle=self.settings.bundle,
            originals=self.originals,
            patients=self.patients,
            validation_pairs=self.validation_pairs,
            known_cohort=self.known_cohort,
            settings=self.settings,
            cache=self.cache,
        )

    @cached_property
    def ignorant(self) -> AttackerTraining:
        """The attacker trained on originals, or the best of the candidates where there is a bundle."""
        if self.pretrained is not None:
            return self.pretrained.chosen
        return self._training(self.originals, self.originals, None)

    @cached_property
    def views(self) -> tuple[tuple[Published, Published], ...]:
        """What the attacker may hold and search; of several views one is chosen on the validation patients.

        There is one where nothing was done to the images, or no validation pair could decide.
        """
        galleries: list[Published] = [
            self.restored if view == "restored" else self.released for view in self.rung.level.views
        ]
        if self.released is self.originals or self.validation_pairs is None:
            galleries = galleries[:1]
        held = self.rung.linkage == "original-released"
        return tuple((self.originals if held else gallery, gallery) for gallery in galleries)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """An attacker for each view."""
        return tuple(
            Candidate(
                self._training(*view, self.ignorant) if self.rung.level.trains else self.ignorant,
                *view,
                self.cache,
            )
            for view in self.views
        )

    @cached_property
    def untrained(self) -> tuple[Candidate, ...]:
        """The attacker trained on originals for each view, by which one is chosen."""
        return tuple(Candidate(self.ignorant, *view, self.cache) for view in self.views)

    @cached_property
    def choice(self) -> CachedStep | None:
        """Which view the attacker takes, a step of its own; None where there is no choice."""
        pairs = self.validation_pairs
        if len(self.views) < 2 or pairs is None:
            return None
        vectors = [step.digest for candidate in self.untrained for step in candidate.vectors("val")]
        key = {
            "name": self.template.name,
            "attacker": self.ignorant.step.digest,
            "vectors": vectors,
            "pairs": pairs.digest,
            "code": code_version("reidbench.metrics"),
        }

        def write(folder: Path, progress: Progress) -> None:
            found = []
            for candidate in self.untrained:
                for step in candidate.vectors("val"):
                    step.make(progress)
                judged = candidate.validation(pairs)
                found.append(metrics.roc_auc(*judged) if judged is not None else float("nan"))
            best = 0
            for number, auc in enumerate(found):
                # Where an AUC is undefined, the view that comes first is kept.
                if auc > found[best]:
                    best = number
            told = [None if np.isnan(auc) else auc for auc in found]
            (folder / CHOICE).write_text(json.dumps({"auc": told, "best": best}))

        return CachedStep(self.cache, "choice", key, write)

    def chosen(self) -> Candidate:
        """The candidate that attacks.

        Raises:
            ReidbenchError: there is a choice, and its step is not made.
        """
        if self.choice is None:
            return self.candidates[0]
        return self.candidates[json.loads((self.choice.read().path / CHOICE).read_text())["best"]]

    def add_to(self, plan: Plan) -> list[str]:
        """Adds all that has to be made for this attack; gives the ids of the steps that it reads."""
        start = self.add_start(plan)
        if self.choice is None:
            return self._add_chosen(plan, self.candidates[0], start)
        needs: list[str | None] = [start]
        for view in self.views:
            needs += [add_steps(plan, side.steps("val", ATTACKERS_VALIDATION), side) for side in view]
        what = f"choose what {self.template.name} looks at, {self.rung}: {' or '.join(self._names())}"
        choice = plan.add_cached([self.choice], what, needs=needs)
        if self.choice.done():
            return [choice, *self._add_chosen(plan, self.chosen(), start)]
        sides = [add_steps(plan, side.side_steps(), side) for view in self.views for side in view]
        waits = f"looks at {' or '.join(self._names())}"
        names = "|".join(candidate.training.step.digest for candidate in self.candidates)
        training = plan.add(
            PlannedStep(
                id=f"attacker:{names}",
                kind="attacker",
                what=self._training_text(""),
                needs=tuple(dict.fromkeys(filter(None, [choice, start, *sides]))),
                work=lambda progress: self.chosen().training.step.make(progress),
                done=all(candidate.training.step.done() for candidate in self.candidates),
                here=self._alone(),
                key=self.candidates[0].training.step.key,
                waits=waits,
            )
        )
        tested = [add_steps(plan, side.steps("test"), side) for side in self.views[0]]
        vectors = plan.add(
            PlannedStep(
                id=f"vectors:{names}:{self.rung}",
                kind="vectors",
                what=f"embed for {self.template.name}, {self.rung}",
                needs=tuple(dict.fromkeys(filter(None, [training, *tested]))),
                work=lambda progress: [step.make(progress) for step in self._vectors(self.chosen())],
                done=all(step.done() for candidate in self.candidates for step in self._vectors(candidate)),
                key=self._vectors(self.candidates[0])[0].key,
                waits=waits,
            )
        )
        return [choice, training, vectors]

    def add_start(self, plan: Plan) -> str:
        """Adds the attacker trained on originals, or the choice among candidates; gives the step's id."""
        if self.pretrained is None:
            what = f"train {self.template.name} on originals"
            return plan.add_cached([self.ignorant.step], what, here=self._alone())
        candidates = [plan.add_cached([step], what, here=self._alone()) for step, what in self.pretrained.candidates()]
        what = f"take {self.template.name} of the bundle {self.pretrained.bundle.card.name}"
        if candidates:
            what = f"choose what {self.template.name} starts from: the bundle, fine-tuned or not, or this cohort alone"
        return plan.add_cached([self.ignorant.step], what, needs=candidates)

    def read(self) -> Linked:
        """The attack's scores, from steps that are made.

        Raises:
            ReidbenchError: one of them is not in the cache.
        """
        chosen = self.chosen()
        held, gallery = (read_vectors(step.read()) for step in chosen.vectors("test"))
        restoration = chosen.gallery.restoration() if isinstance(chosen.gallery, Restored) else None
        validation = chosen.validation(self.validation_pairs)
        scale = None
        if self.pretrained is not None and chosen.training is self.ignorant and not self.pretrained.compared:
            scale = scale_of(self.pretrained.bundle.card.attackers[self.template.name])
        vectors = None
        if validation is not None:
            held_val, gallery_val = (read_vectors(step.read()) for step in chosen.vectors("val"))
            vectors = held_val, gallery_val
        return Linked(chosen.training.read(), held, gallery, validation, restoration, scale, vectors)

    def _add_chosen(self, plan: Plan, chosen: Candidate, start: str) -> list[str]:
        sides = (chosen.probe, chosen.gallery)
        training = start
        if chosen.training is not self.ignorant:
            needs: list[str | None] = [start, *(add_steps(plan, side.side_steps(), side) for side in sides)]
            needs += [add_steps(plan, side.steps("val", ATTACKERS_VALIDATION), side) for side in sides]
            training = plan.add_cached(
                [chosen.training.step],
                self._training_text(f" on {_name(chosen.gallery)}"),
                needs=needs,
                here=self._alone(),
            )
        needs = [training, *(add_steps(plan, side.steps("test"), side) for side in sides)]
        if self.validation_pairs is not None:
            needs += [add_steps(plan, side.steps("val", ATTACKERS_VALIDATION), side) for side in sides]
        what = f"embed for {self.template.name}, {self.rung}"
        vectors = plan.add_cached(self._vectors(chosen), what, needs=needs)
        # The record says how the attacker was trained, and how the network that undid the defense.
        found = [training, vectors]
        if isinstance(chosen.gallery, Restored):
            found += filter(None, [add_steps(plan, chosen.gallery.training_steps(), chosen.gallery)])
        return found

    def _vectors(self, candidate: Candidate) -> list[CachedStep]:
        splits = ("test",) if self.validation_pairs is None else ("test", "val")
        return [step for split in splits for step in candidate.vectors(split)]

    def _training(self, probe: Published, gallery: Published, start: AttackerTraining | None) -> AttackerTraining:
        return attacker_training(
            self.template, probe, gallery, self.patients, settings=self.settings, cache=self.cache, start=start
        )

    def _training_text(self, view: str) -> str:
        return f"train {self.template.name}, {self.rung}{view}"

    def _names(self) -> list[str]:
        return [_name(gallery) for _, gallery in self.views]

    def _alone(self) -> bool:
        # A training that takes several processes has the machine to itself.
        return getattr(self.template, "devices", 1) != 1


def add_steps(plan: Plan, steps: Sequence[CachedStep], published: Published) -> str | None:
    """Adds what is made for one kind of images, each after the one before; the last one's id, None for no step.

    The last reads all of them: a step that was planned elsewhere, with other needs, does not wait for the others.

    Releases are made in the process of the run; restored images, restoration networks and parts of images anywhere.
    """
    made: list[str] = []
    for step in steps:
        here = step.kind not in ("restorer", "undoing", "restored", "part")
        needs = made if step is steps[-1] else made[-1:]
        made.append(plan.add_cached([step], _TEXTS[step.kind](step, _name(published)), needs=needs, here=here))
    return made[-1] if made else None


def _name(published: Published) -> str:
    return f"restored {published.name}" if isinstance(published, Restored) else published.name


def _split(step: CachedStep) -> str:
    draw = step.key.get("draw", PUBLISHED)
    return f"{step.key['split']}" + (f", draw {draw}" if draw != PUBLISHED else "")


_TEXTS: dict[str, Callable[[CachedStep, str], str]] = {
    "fit": lambda step, name: f"train the defense {step.key['defense']}",
    "release": lambda step, name: f"release of {_split(step)} by {step.key['defense']}",
    "restorer": lambda step, name: f"train a network to restore {name.removeprefix('restored ')}",
    "undoing": lambda step, name: f"choose how to undo {name.removeprefix('restored ')}",
    "restored": lambda step, name: f"restore images of {name.removeprefix('restored ')}",
    "part": lambda step, name: f"{name}, of {_split(step)}",
}
