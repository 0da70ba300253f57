"""Inference: what a release tells of sex and age, by an attacker's vectors, by a network, and by the table alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from reidbench import metrics
from reidbench.attackers.pairs import PairAttacker
from reidbench.cohorts.attributes import Attribute, attributes_of
from reidbench.cohorts.base import Cohort
from reidbench.harness.attacks import Candidate, PlannedAttack, add_steps
from reidbench.harness.plan import Plan, PlannedStep
from reidbench.harness.questions.linkability import short_interval
from reidbench.records.diagnosis import utility_runs
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.ladder import KNOWLEDGE, Rung
from reidbench.records.parts.common import Interval
from reidbench.records.parts.questions import Inference, Inferred
from reidbench.settings import Settings
from reidbench.steps.attackers import embedding, read_vectors
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.inference import attribute_training, predict_attributes
from reidbench.steps.releases import ATTACKERS_VALIDATION, PUBLISHED, Published

Floats = NDArray[np.floating[Any]]
#: Strengths of the linear classifiers' L2 penalty (scikit-learn's C) among which validation patients choose.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
#: The strength without validation patients.
USUAL = 1e-2
#: Parts of the test patients, each judged by what the others teach, where there is no train part.
FOLDS = 5
FOLD_SEED = 43


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
    def attributes(self) -> tuple[dict[str, Attribute], ...]:
        """By name, those of the test and of the train images whose values enough patients have and have not.

        The bound is that of the findings, and as there each part must meet it.
        """
        test, train = ({one.name: one for one in attributes_of(self.parts[split].frame)} for split in ("test", "train"))
        least = self.settings.finding_patients
        kept: dict[str, Attribute] = {}
        for name, attribute in test.items():
            enough = _enough(attribute, self.parts["test"], least)
            if self._learns:
                enough &= _enough(train[name], self.parts["train"], least)
            values = tuple(value for value, fits in zip(attribute.values, enough) if fits)
            if values:
                kept[name] = attribute.only(values)
        return kept, {name: train[name].only(one.values) for name, one in kept.items()} if self._learns else {}

    @cached_property
    def network(self) -> CachedStep | None:
        """The training of a network; None where no network learns what is left for diagnosis either."""
        train = self.attributes[1]
        if not train or not self.parts["train"].labels:
            return None
        return attribute_training(list(train.values()), self.published, settings=self.settings, cache=self.cache)

    def add_to(self, plan: Plan) -> list[str]:
        """Adds all that :meth:`judge` reads; gives the ids of these steps."""
        if not self._asked:
            return []
        read: list[str] = []
        images = add_steps(plan, self.published.steps("train"), self.published) if self._learns else None
        if self.network is not None:
            what = f"train a network of sex and age on {self.published.name}"
            read.append(plan.add_cached([self.network], what, needs=[images]))
        if self._learns:
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
        test, train = self.attributes
        candidate = self.attack.chosen()
        vectors = {split: read_vectors(self._vectors(candidate, split).read()) for split in self._splits}
        networks: dict[str, Floats] = {}
        if self.network is not None:
            pixels = self.published.images("test").pixels
            logits = predict_attributes(self.network, list(train.values()), pixels, settings=self.settings)
            networks = dict(zip(train, logits))
        found = {}
        for name, attribute in test.items():
            tables = {split: _table(self.parts[split], name) for split in self._splits}
            found[name] = Inferred(
                values=list(attribute.values),
                patients=len(np.unique(self._patients("test")[attribute.known])),
                vectors=self._auc(attribute, self._linear(name, vectors)),
                network=self._auc(attribute, networks[name]) if name in networks else None,
                table=self._auc(attribute, self._linear(name, tables)),
            )
        return Inference(
            knowledge=self.attack.rung.knowledge,
            linkage=self.attack.rung.linkage,
            attacker=self.attack.template.name,
            learned_on="train" if self._learns else "test",
            attributes=found,
        )

    @property
    def _learns(self) -> bool:
        return len(self.parts["train"]) > 0

    @property
    def _asked(self) -> bool:
        return bool(self.attributes[0]) and not isinstance(self.attack.template, PairAttacker)

    @property
    def _splits(self) -> tuple[str, ...]:
        if not self._learns:
            return ("test",)
        return ("train", "test") if self.attack.validation_pairs is None else ("train", "val", "test")

    def _patients(self, split: str) -> NDArray[np.int64]:
        return self.parts[split].frame["patient"].to_numpy()

    def _vectors(self, candidate: Candidate, split: str) -> CachedStep:
        draw = ATTACKERS_VALIDATION if split == "val" else PUBLISHED
        return embedding(candidate.training, candidate.gallery, split, draw, cache=self.cache)

    def _linear(self, name: str, columns: Mapping[str, Floats]) -> Floats:
        """(N, V) scores of the test images by linear classifiers of these columns."""
        test, train = (side.get(name) for side in self.attributes)
        assert test is not None
        scores = np.zeros(test.truth.shape)
        if train is not None:
            validation = {one.name: one for one in attributes_of(self.parts["val"].frame)}.get(name)
            for value in range(len(test.values)):
                held_out = None
                if validation is not None and "val" in columns:
                    held_out = columns["val"], validation.only(test.values).truth[:, value]
                scores[:, value] = _fit(columns["train"], train.truth[:, value], held_out)(columns["test"])
            return scores
        # Nobody's own images teach the classifier that judges them.
        patients = self._patients("test")
        dealt = np.random.default_rng(FOLD_SEED).permutation(patients.max() + 1)[patients] % FOLDS
        for fold in range(FOLDS):
            mine = dealt == fold
            for value in range(len(test.values)) if mine.any() else ():
                learned = _fit(columns["test"][~mine], test.truth[~mine, value], None)
                # A value that is rare in this fold is frequent in the others: their mean score would tell it, in the
                # wrong direction, and put a table that tells nothing below an AUC of 0.5.
                usual = learned(columns["test"][~mine]).mean()
                scores[mine, value] = learned(columns["test"][mine]) - usual
        return scores

    def _auc(self, attribute: Attribute, scores: Floats) -> Interval:
        judged = metrics.bootstrap_macro_auc_patients(
            scores,
            attribute.truth,
            self._patients("test"),
            runs=utility_runs(self.settings.bootstrap_runs),
            seed=BOOTSTRAP_SEED,
        )
        return short_interval(judged.macro)


def _enough(attribute: Attribute, part: Cohort, least: int) -> NDArray[np.bool_]:
    counts = metrics.label_patients(attribute.truth, part.frame["patient"].to_numpy())
    return np.asarray(counts >= least)


def _fit(columns: Floats, truth: NDArray[np.float64], held_out: tuple[Floats, NDArray[np.float64]] | None) -> Any:
    """A function of columns that gives scores: a linear classifier learned where the truth is known."""
    known = ~np.isnan(truth)
    if len(np.unique(truth[known])) < 2:
        return lambda others: np.zeros(len(others))

    def learned(strength: float) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
        # The solver's steps are small: threads of BLAS would wait for each other most of the time.
        with threadpool_limits(1, user_api="blas"):
            return model.fit(columns[known], truth[known] > 0).decision_function

    if held_out is None or len(np.unique(held_out[1][~np.isnan(held_out[1])])) < 2:
        return learned(USUAL)
    told = ~np.isnan(held_out[1])
    models = [learned(strength) for strength in STRENGTHS]
    judged = [metrics.roc_auc(model(held_out[0][told]), held_out[1][told] > 0) for model in models]
    return models[int(np.argmax(judged))]


def _table(part: Cohort, name: str) -> NDArray[np.float64]:
    """(N, C) the other columns of the table: view, findings, and sex or age, an unknown value as one of its own."""
    frame = part.frame
    columns: list[NDArray[np.float64]] = [np.zeros(len(frame))]
    for column in ("view", "sex"):
        if column in frame and column != name:
            values = {"view": ("PA", "AP"), "sex": ("F", "M")}[column]
            columns += [np.where(frame[column] == value, 1.0, 0.0) for value in values]
    if "age" in frame and name != "age band":
        columns += _filled(frame["age"])
    for label in part.labels:
        columns += _filled(frame[label])
    return np.stack(columns, axis=1)


def _filled(values: pd.Series) -> list[NDArray[np.float64]]:
    numbers = values.to_numpy(dtype=np.float64)
    known = ~np.isnan(numbers)
    return [np.where(known, numbers, numbers[known].mean() if known.any() else 0.0), known.astype(np.float64)]
