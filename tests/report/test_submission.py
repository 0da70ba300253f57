"""A submitted record says what its scores say; an edited one is refused by the field's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reidbench import ReidbenchError
from reidbench.harness.record import read_record
from reidbench.harness.scores import SUFFIX, read_scores
from reidbench.harness.steps import content_digest
from reidbench.progress import Silent
from reidbench.report.matching import Kept
from reidbench.report.submission import check_submission

# Where an edit hides, and the field that must be named. Two attackers on four rungs, each with random and matched
# negatives and a ranking: attacks[0] is a verification attack, attacks[2] a ranking.
EDITS = {
    "attacks[0].metrics.auc.value": -0.01,
    "attacks[0].metrics.auc.low": -0.01,
    "attacks[0].metrics.auc_pairs.high": -1e-5,
    "attacks[0].metrics.eer.value": 0.02,
    "attacks[0].metrics.tpr_at_fpr_0.01.value": -0.003,
    "attacks[0].metrics.at_half.recall": -0.01,
    "attacks[0].metrics.calibrated.threshold": 0.01,
    "attacks[0].metrics.calibrated.precision": -0.01,
    "attacks[1].metrics.genuine": 1,
    "attacks[2].metrics.map_at_r.value": -0.01,
    "attacks[2].metrics.precision_at_1.value": -0.01,
    "attacks[2].metrics.chance.map_at_r": 0.01,
    "attacks[2].metrics.risk.best_rank.0.05": 1.0,
    "attacks[2].metrics.risk.found_by_every_image.value": 0.1,
    "utility.classifiers[1].macro_auc.value": 0.05,
    "utility.classifiers[0].macro_auc.low": -0.05,
    "dataset.images.test": 1,
}


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A record of a defense with its scores, to be meddled with."""
    name = next(record.stem for record in tiny_run["records"] if record.defense.kind != "none")
    for ending in (".json", SUFFIX):
        shutil.copy(tiny_run["runs"] / f"{name}{ending}", tmp_path)
    return tmp_path / f"{name}.json"


def check(path: Path):
    return check_submission(Kept(read_record(path), path), Silent())


def edit(data, field: str, change: float) -> None:
    """Adds to a field that is named as the check names it."""
    steps = field.replace("[", ".[").split(".")
    # Keys with a dot in them: a quantile, and the rates.
    for key in ("tpr_at_fpr_0.01", "0.05"):
        parts = key.split(".")
        for at in range(len(steps) - len(parts) + 1):
            if steps[at : at + len(parts)] == parts:
                steps[at : at + len(parts)] = [key]
    place = data
    for step in steps[:-1]:
        place = place[int(step[1:-1])] if step.startswith("[") else place[step]
    place[steps[-1]] += change


def test_every_record_of_a_run_agrees_with_its_scores(tiny_run):
    for record in tiny_run["records"]:
        found = check(tiny_run["runs"] / f"{record.stem}.json")
        assert found.mismatches == ()
        assert found.checked > 300
        # Nothing that a score tells is taken on trust; strata need the table of the images.
        assert [name for name in found.on_trust if ".metrics." in name] == ["attacks[].metrics.strata"]


def test_an_edited_figure_is_refused_by_its_name(copy):
    whole = json.loads(copy.read_text())
    for field, change in EDITS.items():
        data = json.loads(json.dumps(whole))
        edit(data, field, change)
        copy.write_text(json.dumps(data))
        # One run of the check finds them one by one, and only them.
        if field in list(EDITS)[:3]:
            assert [mismatch.field for mismatch in check(copy).mismatches] == [field]
    for field, change in EDITS.items():
        edit(whole, field, change)
    copy.write_text(json.dumps(whole))
    assert {mismatch.field for mismatch in check(copy).mismatches} == set(EDITS)


def test_an_attack_left_out_is_missed(copy):
    data = json.loads(copy.read_text())
    del data["attacks"][0]
    copy.write_text(json.dumps(data))
    assert "attacks (verification)" in {mismatch.field for mismatch in check(copy).mismatches}


def test_a_rung_left_out_is_no_complete_ladder(copy):
    data = json.loads(copy.read_text())
    data["attacks"] = [a for a in data["attacks"] if a["knowledge"] == "ignorant"]
    copy.write_text(json.dumps(data))
    assert {"complete", "attacks (retrieval)"} <= {mismatch.field for mismatch in check(copy).mismatches}


def test_other_scores_are_refused(copy):
    scores = copy.with_name(copy.stem + SUFFIX)
    with np.load(scores) as stored:
        arrays = dict(stored)
    arrays["patients"] = arrays["patients"][::-1]
    np.savez_compressed(scores, allow_pickle=False, **arrays)
    assert [mismatch.field for mismatch in check(copy).mismatches] == ["scores_sha256"]


def test_scores_of_an_older_version_give_what_they_can(copy):
    path = copy.with_name(copy.stem + SUFFIX)
    data = json.loads(copy.read_text())
    scores = read_scores(path, data["scores_sha256"])
    kept = {"patients": scores.patients}
    for kind in ("pairs", "verification", "average_precision"):
        kept |= {f"{kind} {name}": values for name, values in getattr(scores, kind).items()}
    np.savez_compressed(path, allow_pickle=False, **kept)
    data["scores_sha256"] = content_digest(path)
    edit(data, "attacks[2].metrics.map_at_r.value", -0.01)
    copy.write_text(json.dumps(data))
    found = check(copy)
    assert [mismatch.field for mismatch in found.mismatches] == ["attacks[2].metrics.map_at_r.value"]
    assert {"attacks[].metrics.calibrated", "attacks[].metrics.risk"} <= set(found.on_trust)


def test_what_was_kept_is_what_was_said(tiny_run):
    record = tiny_run["records"][-1]
    scores = read_scores(tiny_run["runs"] / f"{record.stem}{SUFFIX}", record.scores_sha256)
    ranks = scores.query_ranks("example_pixels/informed/original-released")
    assert np.array_equal(ranks.asked, ~np.isnan(ranks.average_precision))
    assert (ranks.best_rank[ranks.asked] >= 1).all()
    assert set(scores.accepted) == {key for key in scores.verification if key.startswith("verification/")}


@pytest.mark.parametrize(
    ("meddle", "what"),
    [
        (lambda path: path.with_name(path.stem + SUFFIX).unlink(), "scores are missing"),
        (lambda path: path.write_text("{"), "no valid JSON"),
        (lambda path: path.write_text('{"schema_version": 1}'), "no reidbench record"),
    ],
)
def test_what_cannot_be_checked_is_an_error_and_no_mismatch(copy, meddle, what):
    meddle(copy)
    with pytest.raises(ReidbenchError, match=what):
        check(copy)
