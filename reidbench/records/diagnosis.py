"""A diagnostic classifier's predictions judged: the findings that count, the macro AUC, and its fall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.records.figures import BOOTSTRAP_SEED, interval
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import DEFINITIONS, Classifier, FewPatients

#: What a classifier is trained or tested on.
Images = Literal["originals", "release"]


def few_patients(train: Cohort, test: Cohort, least: int) -> dict[str, FewPatients]:
    """The findings that too few patients decide in the train or in the test part, by name.

    One such finding has the weight of any other in the macro AUC and moves it from one patient to the next.

    Args:
        least: patients with a finding, and patients without it, that either part must have.
    """
    counts = {
        part: metrics.label_patients(truth_of(cohort), cohort.frame["patient"].to_numpy())
        for part, cohort in (("train", train), ("test", test))
    }
    return {
        name: FewPatients(train=trained, test=tested)
        for name, trained, tested in zip(test.labels, counts["train"].tolist(), counts["test"].tolist())
        if min(trained, tested) < least
    }


def truth_of(cohort: Cohort) -> NDArray[np.float64]:
    """What each image shows, (N, L): 1, 0, and NaN where unknown."""
    truth: NDArray[np.float64] = cohort.frame[list(cohort.labels)].to_numpy(dtype=np.float64)
    return truth


def judge_predictions(
    logits: NDArray[np.float32],
    truth: NDArray[np.float64],
    patients: NDArray[Any],
    labels: tuple[str, ...],
    trained_on: Images,
    tested_on: Images,
    training: TrainingInfo,
    *,
    left_out: Mapping[str, object],
    undefended: NDArray[np.float32] | None,
    bootstrap_runs: int,
    definitions: int = DEFINITIONS,
) -> Classifier:
    """A classifier's predictions judged, each finding on the images of which it is known.

    Args:
        logits: (N, L) of the test images.
        truth: (N, L) 1, 0, and NaN where unknown.
        patients: (N,) of the same images.
        labels: the names of the L findings.
        left_out: the names of findings that have an AUC of their own, but do not count in the macro AUC.
        undefended: (N, L) logits of the classifier of originals, on originals; None where there is none.
        bootstrap_runs: the run's.
        definitions: of the record, which says which intervals it has.
    """
    drawn: dict[str, Any] = {
        "admitted": np.array([name not in left_out for name in labels], dtype=np.bool_),
        "runs": utility_runs(bootstrap_runs),
        "seed": BOOTSTRAP_SEED,
        "guarded": definitions >= 3,
    }
    judged = metrics.bootstrap_macro_auc_patients(logits, truth, patients, **drawn)
    fall = None
    if undefended is not None:
        fall = interval(metrics.bootstrap_macro_auc_drop_patients(undefended, logits, truth, patients, **drawn))
    return Classifier(
        trained_on=trained_on,
        tested_on=tested_on,
        macro_auc=interval(judged.macro),
        fall=fall,
        per_label={name: interval(found) for name, found in zip(labels, judged.labels, strict=True)},
        training=training,
    )


def utility_runs(bootstrap_runs: int) -> int:
    """Resamplings behind the utility's intervals.

    A tenth of the pairs': fourteen labels each time, and no claim at low rates hangs on them.
    """
    return max(1, bootstrap_runs // 10)
