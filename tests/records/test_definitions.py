"""Records are computed again by the definitions that they were made with, from the scores beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.metrics import wilson_interval
from reidbench.records import figures, recompute
from reidbench.records.diagnosis import judge_predictions
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import DEFINITIONS
from reidbench.records.scores import RunScores, attack_key, read_retrieval, read_scores
from reidbench.records.store import read_record

SAMPLES = Path(__file__).parent / "samples"
KEY = attack_key("retrieval", "ignorant", "original-released")


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v1-gaussian_noise.json")


@pytest.fixture(scope="module")
def ranked():
    rng = np.random.default_rng(0)
    patients = rng.permutation(np.repeat(np.arange(15), rng.integers(1, 9, 15)))
    scores = rng.normal(size=(len(patients), len(patients))) + 1.5 * (patients[:, None] == patients)
    return patients, scores


def judged(template, ranked, *, influence):
    """A record with one retrieval attack, and its scores."""
    patients, scores = ranked
    ranks = figures.rank_images(lambda rows: scores[rows], patients, influence=influence)
    kept = RunScores(patients, {}, {}, {})
    kept.keep_ranks(KEY, ranks)
    attack = next(one for one in template.attacks if one.task == "retrieval")
    where = {"attacker": "retrieval", "knowledge": "ignorant", "linkage": "original-released", "negatives": None}
    attack = attack.model_copy(update={**where, "metrics": figures.retrieval(ranks, runs=50)})
    definitions = DEFINITIONS if influence else 1
    update = {"attacks": [attack], "bootstrap_runs": 50, "definitions": definitions}
    return template.model_copy(update=update), kept


def values(part):
    return [
        value
        for name in ("map_at_r", "map_at_r_patients", "r_precision", "precision_at_1")
        for value in (getattr(part, name).value, getattr(part, name).low, getattr(part, name).high)
    ]


@pytest.mark.parametrize("influence", [True, False])
def test_retrieval_is_computed_again_from_its_file(template, ranked, tmp_path, influence):
    record, kept = judged(template, ranked, influence=influence)
    digest = kept.write(tmp_path / "some.scores.npz")
    read = read_scores(tmp_path / "some.scores.npz", digest)
    (attack,) = record.attacks
    again = recompute._figures(attack, record, read)
    assert values(again) == pytest.approx(values(attack.metrics), abs=recompute.TOLERANCE)
    assert dict(again.chance) == pytest.approx(dict(attack.metrics.chance))
    assert ("map_at_r_patients" in again.chance) == influence
    # Only what one attack needs is read for the ranks of a board.
    some = read_retrieval(tmp_path / "some.scores.npz", KEY)
    assert (some is not None) == influence
    if some is not None:
        np.testing.assert_array_equal(some.gallery_gains[KEY], read.gallery_gains[KEY])
        assert read_retrieval(tmp_path / "some.scores.npz", "other") is None


def test_a_record_cannot_choose_the_definitions_of_another(template, ranked):
    for influence, claimed in ((True, 1), (False, DEFINITIONS)):
        record, kept = judged(template, ranked, influence=influence)
        (attack,) = record.attacks
        other = record.model_copy(update={"definitions": claimed})
        assert recompute._figures(attack, other, kept) is None
        found = recompute.recompute(other, kept).mismatches
        assert "definitions" in {one.field for one in found}
        assert "definitions" not in {one.field for one in recompute.recompute(record, kept).mismatches}


def test_the_two_definitions_differ_in_their_intervals_alone(template, ranked):
    (new,), (old,) = (judged(template, ranked, influence=one)[0].attacks for one in (True, False))
    assert new.metrics.map_at_r.value == pytest.approx(old.metrics.map_at_r.value)
    assert new.metrics.map_at_r.high - new.metrics.map_at_r.low != pytest.approx(
        old.metrics.map_at_r.high - old.metrics.map_at_r.low, rel=1e-3
    )


def test_perfect_separation_has_an_interval_from_the_second_definitions_on():
    patients = np.repeat(np.arange(20), 2)
    same = np.repeat([True, False], 20)
    first = np.tile(np.arange(0, 40, 2), 2)
    pairs = Pairs(first, np.where(same, first + 1, (first + 3) % 40), same)
    shared = {"probabilities": np.full(1, np.nan), "validation": None, "runs": 50}
    before, after = (
        figures.verification(same.astype(float), pairs, patients, definitions=number, **shared) for number in (1, 2)
    )
    assert (before.auc.low, before.auc.high, before.eer.high) == (1, 1, 0)
    assert (after.auc.high, after.eer.low) == (1, 0)
    assert 0.8 < after.auc.low < 0.9
    assert after.eer.high == pytest.approx(1 - after.auc.low)


def test_records_without_the_field_are_of_the_first_definitions_and_write_back_as_they_were(template):
    assert template.definitions == 1
    assert "definitions" not in template.model_dump(mode="json", by_alias=True)
    assert template.model_copy(update={"definitions": 2}).model_dump(mode="json")["definitions"] == 2


def utility(definitions):
    """Two findings that are told perfectly, of six patients, and a classifier before that told neither."""
    truth = np.repeat(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1.0]]), 2, axis=0)
    training = TrainingInfo(
        epochs=1, images_seen=1, seconds=0, learned=True, checkpoint_sha256="0" * 64, warm_start=False, history=[]
    )
    before = np.random.default_rng(0).normal(size=truth.shape).astype(np.float32)
    told = truth.astype(np.float32), truth, np.repeat(np.arange(6), 2), ("one", "other"), "release", "release", training
    return judge_predictions(*told, left_out={}, undefended=before, bootstrap_runs=500, definitions=definitions)


def test_perfect_diagnosis_has_an_interval_from_the_third_definitions_on():
    old, new = utility(2), utility(3)
    assert (old.macro_auc.low, old.macro_auc.high) == (1, 1)
    assert (new.macro_auc.low, new.macro_auc.high) == (pytest.approx(wilson_interval(3, 3).low), 1)
    assert new.per_label["one"].low == new.macro_auc.low
    assert new.fall.value == old.fall.value < 0
    assert new.fall.high >= new.fall.value + 1 - new.macro_auc.low > old.fall.high
    assert utility(DEFINITIONS) == new
