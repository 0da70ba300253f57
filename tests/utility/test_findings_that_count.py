"""Which findings count in the diagnostic utility: those that enough patients decide, in both parts, in every figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.records.diagnosis import few_patients, judge_predictions
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import FewPatients

TRAINING = TrainingInfo(
    epochs=1, images_seen=1, seconds=0.0, learned=True, checkpoint_sha256="0", warm_start=False, history=[]
)


def cohort(frame: pd.DataFrame) -> Cohort:
    labels = tuple(name for name in frame if name != "patient")
    return Cohort("some", frame, np.zeros((len(frame), 2, 2), dtype=np.uint8), labels, "0")


def drawn(patients: int, images: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = (rng.random((patients * images, 3)) < [0.5, 0.3, 0.4]).astype(float)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    return pd.DataFrame({"patient": np.repeat(np.arange(patients), images), **dict(zip("abc", truth.T))})


@pytest.mark.parametrize("seed", range(3))
def test_patients_of_a_finding_are_those_of_pandas(seed):
    frame = drawn(7, 4, seed)
    found = metrics.label_patients(frame[list("abc")].to_numpy(), frame["patient"].to_numpy())
    for name, fewer in zip("abc", found):
        having = frame.loc[frame[name] == 1, "patient"].nunique()
        lacking = frame.loc[frame[name] == 0, "patient"].nunique()
        assert fewer == min(having, lacking)


def test_many_images_of_two_patients_are_two_patients():
    findings = np.zeros((60, 2))
    findings[:40, 0] = 1
    findings[::2, 1] = 1
    patients = np.r_[np.repeat([1, 2], 20), np.arange(3, 23)]
    assert metrics.label_patients(findings, patients).tolist() == [2, 12]
    with pytest.raises(ValueError, match="as many patients"):
        metrics.label_patients(findings, patients[:-1])


def test_a_finding_of_few_patients_in_either_part_does_not_count():
    train, test = drawn(40, 2, 0), drawn(30, 2, 1)
    train.loc[train["patient"] > 2, "b"] = 0
    test.loc[test["patient"] != 5, "c"] = 0
    test.loc[test["patient"] == 5, "c"] = 1
    few = few_patients(cohort(train), cohort(test), 10)
    assert list(few) == ["b", "c"]
    assert few["c"] == FewPatients(train=metrics.label_patients(train[["c"]], train["patient"])[0], test=1)
    assert few["b"].train < 10 <= few["b"].test
    assert few_patients(cohort(train), cohort(test), 1) == {}


def test_what_does_not_count_keeps_its_own_figure_and_moves_no_other():
    frame = drawn(60, 2, 2)
    truth, patients = frame[list("abc")].to_numpy(), frame["patient"].to_numpy()
    rng = np.random.default_rng(3)
    after = rng.normal(size=truth.shape) + np.nan_to_num(truth)
    before = after + 0.5 * np.nan_to_num(truth)
    judged = [
        judge_predictions(
            scores.astype(np.float32), truth, patients, ("a", "b", "c"), "release", "release", TRAINING,
            left_out={"c": None}, undefended=before.astype(np.float32), bootstrap_runs=400,
        )
        for scores in (after, np.column_stack([after[:, :2], -after[:, 2]]))
    ]  # fmt: skip
    one, other = judged
    assert one.per_label["c"] != other.per_label["c"]
    assert (one.macro_auc, one.fall) == (other.macro_auc, other.fall)

    def areas(scores):
        known = ~np.isnan(truth)
        return [roc_auc_score(truth[known[:, at], at], scores[known[:, at], at]) for at in range(2)]

    assert one.macro_auc.value == pytest.approx(np.mean(areas(after)))
    assert one.fall.value == pytest.approx(np.mean(areas(before)) - np.mean(areas(after)))
    assert one.fall.low < one.fall.value < one.fall.high
    # Paired: narrower than two figures apart would have it.
    assert one.fall.high - one.fall.low < one.macro_auc.high - one.macro_auc.low


def test_no_finding_that_counts_leaves_no_figure():
    frame = drawn(20, 2, 4)
    truth, patients = frame[list("abc")].to_numpy(), frame["patient"].to_numpy()
    logits = np.random.default_rng(5).normal(size=truth.shape).astype(np.float32)
    found = judge_predictions(
        logits, truth, patients, ("a", "b", "c"), "release", "release", TRAINING,
        left_out=dict.fromkeys("abc"), undefended=logits, bootstrap_runs=100,
    )  # fmt: skip
    assert found.macro_auc.value is None
    assert found.fall.value is None
    assert all(figure.value is not None for figure in found.per_label.values())
    with pytest.raises(ValueError, match="booleans, one a label"):
        metrics.label_aucs(logits, truth, admitted=[True])
