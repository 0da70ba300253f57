"""Inference: a linear classifier finds what is there, only there, and never learns of the patients it judges."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reidbench.harness.questions.inference import inference_rung
from reidbench.harness.questions.inferring import Inferring, _fit, _table
from reidbench.records.ladder import Rung, full_ladder, parse_ladder


class Part:
    def __init__(self, frame, labels=()):
        self.frame, self.labels = frame, labels

    def __len__(self):
        return len(self.frame)


def test_the_rung_is_of_the_attacker_that_knows_most():
    assert inference_rung(full_ladder()) == Rung("informed", "released-released")
    assert inference_rung(parse_ladder(["original-released"])) == Rung("informed", "original-released")
    assert inference_rung((Rung("ignorant", "original-released"),)) == Rung("ignorant", "original-released")


def test_a_linear_classifier_finds_a_direction_and_validation_chooses_its_strength():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(400, 60))
    truth = (columns[:, 0] + 2 * rng.normal(size=400) > 0).astype(float)
    truth[:20] = np.nan
    score = _fit(columns[:200], truth[:200], (columns[200:300], truth[200:300]))(columns[300:])
    assert np.corrcoef(score, columns[300:, 0])[0, 1] > 0.3
    assert not _fit(columns[:200], np.ones(200), None)(columns).any()


def test_the_table_leaves_out_what_is_asked_for():
    frame = pd.DataFrame(
        {"sex": ["F", "M", None], "age": [40.0, np.nan, 60], "view": ["PA", "AP", "PA"], "Mass": [1.0, 0.0, np.nan]}
    )
    part = Part(frame, ("Mass",))
    sex, age = _table(part, "sex"), _table(part, "age band")
    # A constant, both views; age and whether it is known, or both sexes; a finding and whether it is known.
    np.testing.assert_array_equal(sex, [[0, 1, 0, 40, 1, 1, 1], [0, 0, 1, 50, 0, 0, 1], [0, 1, 0, 60, 1, 0.5, 0]])
    np.testing.assert_array_equal(age[:, :5], [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1], [0, 1, 0, 0, 0]])
    assert _table(Part(pd.DataFrame({"patient": [0, 1]})), "sex").shape == (2, 1)


def test_of_a_large_train_part_some_images_teach_and_their_truth_goes_with_them(monkeypatch):
    monkeypatch.setattr("reidbench.harness.questions.inferring.MOST_LEARNED", 60)
    rng = np.random.default_rng(0)

    def part(count):
        sex = rng.permutation(np.arange(count) % 2)
        return Part(pd.DataFrame({"patient": np.arange(count), "sex": np.where(sex == 1, "F", "M")})), sex

    (train, one), (test, other) = part(500), part(100)
    parts = {"train": train, "val": Part(test.frame.head(0)), "test": test}
    inferring = Inferring(parts, SimpleNamespace(finding_patients=5, bootstrap_runs=100), validated=False)
    rows = inferring.learned_rows
    assert (len(rows), rows[0], rows[-1]) == (60, 0, 499)
    vectors = {"train": one[rows, None].astype(float), "test": other[:, None].astype(float)}
    found = inferring.infer(vectors, {})["sex"]
    assert found.vectors.value == 1
    assert found.table.value == 0.5
    monkeypatch.setattr("reidbench.harness.questions.inferring.MOST_LEARNED", 500)
    assert Inferring(parts, inferring.settings, validated=False).learned_rows is None


@pytest.mark.slow
def test_a_run_infers_sex_from_originals_and_nothing_from_a_constant_release(tiny_inference):
    undefended, blackout = tiny_inference
    assert undefended.inference.attributes["sex"].patients == 16
    for attribute in blackout.inference.attributes.values():
        assert (attribute.vectors.value, attribute.network.value) == (0.5, 0.5)
    for name, attribute in undefended.inference.attributes.items():
        # The table is the same, whatever is done to images.
        assert attribute.table == blackout.inference.attributes[name].table
        assert 0 <= attribute.vectors.value <= 1


@pytest.fixture
def tiny_inference(small_run):
    from reidbench.records.schema import Record

    made = {record["defense"]["name"]: Record.model_validate(record) for record in small_run["records"]}
    return made["undefended"], made["blackout"]
