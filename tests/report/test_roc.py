"""ROC curves and confusion matrices of a record, from the scores that lie beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.records.figures import verification
from reidbench.records.scores import RunScores, attack_key
from reidbench.records.store import read_record
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.pictures import roc
from reidbench.report.text import roc as roc_text

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def judged():
    """A record's attack with scores of its own: those of 30 patients with 400 pairs."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 4)
    a = rng.integers(0, 120, 400)
    b = np.where(rng.random(400) < 0.5, 4 * (a // 4) + (a + 1) % 4, rng.integers(0, 120, 400))
    same = patients[a] == patients[b]
    scores = (rng.normal(size=400) + 2 * same).astype(np.float32)
    template = next(a for a in read_record(SAMPLES / "v1-strata.json").attacks if a.task == "verification")
    found = verification(
        scores, Pairs(a, b, same), patients, probabilities=1 / (1 + np.exp(-scores)), validation=(scores, same), runs=40
    )
    attack = template.model_copy(update={"metrics": found})
    key = attack_key(attack.attacker, attack.knowledge, attack.linkage, attack.negatives)
    kept = RunScores(patients, {attack.negatives: np.stack([a, b, same.astype(np.int64)])}, {key: scores}, {})
    return attack, kept, scores, same


def test_the_curve_is_that_of_the_stored_scores(judged, tmp_path):
    attack, kept, scores, same = judged
    points = roc.curve(kept, key_of(attack), runs=40)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    last = np.append(fpr[1:] != fpr[:-1], True)
    assert points.tpr == pytest.approx(np.interp(points.fpr, fpr[last], tpr[last]))
    table = roc_text.markdown(points, (0.0, 0.01, 0.1))
    assert table.count("\n") == 5
    assert f"| {tpr[fpr <= 0.1].max():.3f} |" in table
    # Two of two hundred impostor pairs bound nothing; what is no number is not drawn either.
    assert f"| {tpr[fpr <= 0.01].max():.3f} | – |" in table
    drawn = [end for trace in roc.plot({"this": points}).data for end in trace.y]
    assert np.isfinite(drawn).all()


def test_the_confusion_matrix_is_that_of_scikit_learn(judged):
    attack, _, scores, same = judged
    for decision, values in (
        (attack.metrics.calibrated, scores),
        (attack.metrics.at_half, 1 / (1 + np.exp(-scores))),
    ):
        (tn, fp), (fn, tp) = confusion_matrix(same, values >= decision.threshold)
        counts = (decision.true_negatives, decision.false_positives, decision.false_negatives, decision.true_positives)
        assert counts == (tn, fp, fn, tp)
        table = roc_text.confusion(decision)
        assert f"| one patient | {tp:,} | {fn:,} |" in table
        assert f"| two patients | {fp:,} | {tn:,} |" in table


def test_counts_of_a_record_older_than_them_follow_from_its_rates():
    path = SAMPLES / "v1-gaussian_noise.json"
    old = next(a for a in read_record(path).attacks if a.task == "verification").metrics
    told = next(a for a in json.loads(path.read_text())["attacks"] if a["task"] == "verification")["metrics"]
    assert "true_positives" not in told["calibrated"]
    for name in ("calibrated", "at_half"):
        for rate in ("accuracy", "specificity", "recall", "precision", "f1"):
            assert getattr(getattr(old, name), rate) == pytest.approx(told[name][rate], abs=1e-12)
    assert "| one patient | 11 | 124 |" in roc_text.confusion(old.calibrated)


def test_the_figures_hold_every_curve_twice_and_every_count(judged):
    attack, kept, *_ = judged
    points = roc.curve(kept, key_of(attack), runs=20)
    figure = roc.plot({"one": points, "two": points})
    drawn = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in drawn] == ["one", "one", "two", "two"]
    assert np.array_equal(drawn[0].y, points.tpr)
    assert min(drawn[1].x) > 0
    decision = attack.metrics.at_half
    (heat,) = roc.plot_confusion({"0.5": decision}).data
    assert heat.z[1][0] == decision.true_positives
    assert heat.z[0][0] == decision.false_positives
