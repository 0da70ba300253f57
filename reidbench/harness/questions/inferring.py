"""What infers sex and age from vectors of published images: linear classifiers, beside the columns of the table."""

from __future__ import annotations

from collections.abc import Mapping
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
from reidbench.cohorts.attributes import Attribute, attributes_of
from reidbench.cohorts.base import Cohort
from reidbench.harness.questions.linkability import short_interval
from reidbench.records.diagnosis import utility_runs
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.parts.common import Interval
from reidbench.records.parts.questions import Inferred
from reidbench.settings import Settings

Floats = NDArray[np.floating[Any]]
#: Strengths of the linear classifiers' L2 penalty (scikit-learn's C) among which validation patients choose.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
#: The strength without validation patients.
USUAL = 1e-2
#: Parts of the test patients, each judged by what the others teach, where there is no train part.
FOLDS = 5
FOLD_SEED = 43
#: The most images of the train part that linear classifiers learn from, for the time that embedding takes: 140 s of a
#: core for 8,109 images at 96². What more images would change was not measured.
MOST_LEARNED = 2_000


@dataclass(frozen=True, eq=False)
class Inferring:
    """Sex and age from vectors of published images, and from the other columns of the table.

    Attributes:
        parts: the cohort by split.
        settings: of the run.
        validated: whether the validation patients decide how strong a penalty is.
    """

    parts: dict[str, Cohort]
    settings: Settings
    validated: bool

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
            if self.learns:
                enough &= _enough(train[name], self.parts["train"], least)
            values = tuple(value for value, fits in zip(attribute.values, enough) if fits)
            if values:
                kept[name] = attribute.only(values)
        return kept, {name: train[name].only(one.values) for name, one in kept.items()} if self.learns else {}

    def infer(self, vectors: Mapping[str, Floats], networks: Mapping[str, Floats]) -> dict[str, Inferred]:
        """What is inferred, by attribute.

        Args:
            vectors: of the images of :attr:`splits`, (N, D); of the train part's, those of :attr:`learned_rows`.
            networks: by attribute, (N, V) scores of the test images by a network; empty where none was trained.
        """
        found = {}
        for name, attribute in self.attributes[0].items():
            tables = {split: _table(self.parts[split], name) for split in self.splits}
            if self.learned_rows is not None:
                tables["train"] = tables["train"][self.learned_rows]
            found[name] = Inferred(
                values=list(attribute.values),
                patients=len(np.unique(self._patients("test")[attribute.known])),
                vectors=self._auc(attribute, self._linear(name, vectors)),
                network=self._auc(attribute, networks[name]) if name in networks else None,
                table=self._auc(attribute, self._linear(name, tables)),
            )
        return found

    @property
    def learns(self) -> bool:
        """Whether there is a train part to learn from."""
        return len(self.parts["train"]) > 0

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose vectors are read."""
        if not self.learns:
            return ("test",)
        return ("train", "val", "test") if self.validated else ("train", "test")

    @cached_property
    def learned_rows(self) -> NDArray[np.int64] | None:
        """Rows of the train part that linear classifiers learn from, evenly spaced; None for all."""
        count = len(self.parts["train"])
        return np.linspace(0, count - 1, MOST_LEARNED).astype(np.int64) if count > MOST_LEARNED else None

    def _patients(self, split: str) -> NDArray[np.int64]:
        return self.parts[split].frame["patient"].to_numpy()

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
                truth = train.truth[:, value] if self.learned_rows is None else train.truth[self.learned_rows, value]
                scores[:, value] = _fit(columns["train"], truth, held_out)(columns["test"])
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
