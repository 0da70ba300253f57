"""Inference: what a release tells of sex and age, by an attacker's vectors, by a network, and by the table alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reidbench.attackers.pairs import PairAttacker
from reidbench.cohorts.base import Cohort
from reidbench.harness.attacks import Candidate, PlannedAttack, add_steps
from reidbench.harness.plan import Plan, PlannedStep
from reidbench.harness.questions.inferring import Floats, Inferring
from reidbench.records.ladder import KNOWLEDGE, Rung
from reidbench.records.parts.questions import Inference
from reidbench.settings import Settings
from reidbench.steps.attackers import embedding, read_vectors
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.inference import attribute_training, predict_attributes
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, Published


def inference_rung(ladder: Sequence[Rung]) -> Rung:
    """The rung whose vectors are used: the attacker that knows most, with published images on both sides if it is run.
    Only vectors of published images matter, and on these rungs no original is needed beside them."""
    return max(ladder, key=lambda rung: (KNOWLEDGE.index(rung.knowledge), rung.linkage == "released-released"))


@dataclass(frozen=True, eq=False)
class PlannedInference:
    """Inference from one release, before anything of it is made.

    Attributes:
        parts: the cohort by split.
        published: the release.
        attack: the attacker and the rung whose vectors are used.
    """

    parts: dict[str, Cohort]
    published: Published
    attack: PlannedAttack
    settings: Settings
    cache: StepCache

    @cached_property
    def inferring(self) -> Inferring:
        """What infers, with or without a network."""
        return Inferring(self.parts, self.settings, validated=self.attack.validation_pairs is not None)

    @cached_property
    def network(self) -> CachedStep | None:
        """The training of a network; None where no network learns what is left for diagnosis either."""
        train = self.inferring.attributes[1]
        if not train or not self.parts["train"].labels:
            return None
        return attribute_training(list(train.values()), self.published, settings=self.settings, cache=self.cache)

    def add_to(self, plan: Plan) -> list[str]:
        """Adds all that :meth:`judge` reads; gives the ids of these steps."""
        if not self._asked:
            return []
        read: list[str] = []
        images = add_steps(plan, self.published.steps("train"), self.published) if self.inferring.learns else None
        if self.network is not None:
            what = f"train a network of sex and age on {self.published.name}"
            read.append(plan.add_cached([self.network], what, needs=[images]))
        if self.inferring.learns:
            attack, known = self.attack, self.attack.choice is None or self.attack.choice.done()
            candidates = [attack.chosen()] if known else attack.candidates
            needs = [*attack.add_to(plan), images]
            steps = [self._vectors(candidate, "train") for candidate in candidates]
            read.append(
                plan.add(
                    PlannedStep(
                        id=f"vectors of train:{'|'.join(step.digest for step in steps)}",
                        kind="vectors",
                        what=f"embed the train part for inference by {attack.template.name}",
                        needs=tuple(dict.fromkeys(filter(None, needs))),
                        work=lambda progress: self._vectors(attack.chosen(), "train").make(progress),
                        done=all(step.done() for step in steps),
                        key=steps[0].key,
                    )
                )
            )
        return read

    def judge(self) -> Inference | None:
        """What is inferred; None where too little is known of the patients, or the attacker has no vectors.

        Raises:
            ReidbenchError: a step of :meth:`add_to` is not in the cache.
        """
        if not self._asked:
            return None
        train = self.inferring.attributes[1]
        candidate = self.attack.chosen()
        vectors = {split: read_vectors(self._vectors(candidate, split).read()) for split in self.inferring.splits}
        networks: dict[str, Floats] = {}
        if self.network is not None:
            pixels = self.published.images("test").pixels
            logits = predict_attributes(self.network, list(train.values()), pixels, settings=self.settings)
            networks = dict(zip(train, logits))
        return Inference(
            knowledge=self.attack.rung.knowledge,
            linkage=self.attack.rung.linkage,
            attacker=self.attack.template.name,
            learned_on="train" if self.inferring.learns else "test",
            attributes=self.inferring.infer(vectors, networks),
        )

    @property
    def _asked(self) -> bool:
        return bool(self.inferring.attributes[0]) and not isinstance(self.attack.template, PairAttacker)

    def _vectors(self, candidate: Candidate, split: str) -> CachedStep:
        draw = ATTACKERS_VALIDATION if split == "val" else PUBLISHED
        rows = self.inferring.learned_rows if split == "train" else None
        return embedding(candidate.training, candidate.gallery, split, draw, rows=rows, cache=self.cache)
