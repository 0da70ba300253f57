"""A submitted record says what its scores say; an edited one is refused by the field's name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from reidbench import ReidbenchError
from reidbench.files import content_digest
from reidbench.progress import Silent
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.records.store import read_record
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.submission import (
    check_submission,
    check_submissions,
    exit_code,
    find_records,
    summary,
)

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"

# Where an edit hides, and the field that must be named. Two attackers on four rungs, each with random and matched
# negatives and a ranking: attacks[0] is a verification attack, attacks[2] a ranking.
EDITS = {
    "attacks[0].metrics.auc.value": -0.01,
    "attacks[0].metrics.auc.low": -0.01,
    "attacks[0].metrics.auc_pairs.high": -1e-5,
    "attacks[0].metrics.eer.value": 0.02,
    "attacks[0].metrics.tpr_at_fpr_0.01.value": -0.003,
    "attacks[0].metrics.at_half.true_positives": -1,
    "attacks[0].metrics.calibrated.threshold": 0.01,
    "attacks[0].metrics.calibrated.false_positives": 2,
    "attacks[1].metrics.genuine": 1,
    "attacks[2].metrics.map_at_r.value": -0.01,
    "attacks[2].metrics.precision_at_1.value": -0.01,
    "attacks[2].metrics.chance.map_at_r": 0.01,
    "attacks[2].metrics.risk.best_rank.0.05": 1.0,
    "attacks[2].metrics.risk.found_by_every_image.value": 0.1,
    "utility.classifiers[1].macro_auc.value": 0.05,
    "utility.classifiers[0].macro_auc.low": -0.05,
    "controls.matched_negatives": 1,
    "dataset.images.test": 1,
}


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A record of a defense with its scores, to be meddled with."""
    name = next(record.stem for record in tiny_run["records"] if record.defense.kind != "none")
    for ending in (".json", SUFFIX):
        shutil.copy(tiny_run["runs"] / f"{name}{ending}", tmp_path)
    path = tmp_path / f"{name}.json"
    # With names in place of lists, as edits want it; both forms are read.
    path.write_text(read_record(path).model_dump_json(by_alias=True))
    return path


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
        # Nothing that a score tells is taken on trust; strata need the table of the images, all pairs the whole matrix.
        untold = ["attacks[].metrics.auc_all_pairs", "attacks[].metrics.strata"]
        assert [name for name in found.on_trust if ".metrics." in name] == untold


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


def test_a_record_of_older_pairs_is_refused_by_its_pairs(copy):
    """Pairs that give each probe a strange second image favour patients with many images."""
    record = read_record(copy)
    scores = read_scores(copy.with_name(copy.stem + SUFFIX), str(record.scores_sha256))
    a, b, same = scores.pairs["random"]
    # Every impostor pair gets one of two images: the second where the probe is of the first one's patient.
    first = int(b[0])
    second = int(np.flatnonzero(scores.patients != scores.patients[first])[0])
    drawn = np.where(scores.patients[a] == scores.patients[first], second, first)
    scores.pairs["random"] = np.stack([a, np.where(same == 0, drawn, b), same])
    digest = scores.write(copy.with_name(copy.stem + SUFFIX))
    copy.write_text(record.model_copy(update={"scores_sha256": digest}).model_dump_json(by_alias=True))
    assert "pairs (random, exchanged)" in {mismatch.field for mismatch in check(copy).mismatches}


def test_an_interval_that_the_scores_do_not_give_is_refused(copy):
    data = json.loads(copy.read_text())
    rate = data["attacks"][0]["metrics"]["tpr_at_fpr_0.001"]
    assert rate["low"] is None
    assert "impostor pairs are too few" in rate["why_unbounded"]
    rate.update(low=rate["value"], high=rate["value"])
    del rate["why_unbounded"]
    copy.write_text(json.dumps(data))
    field = "attacks[0].metrics.tpr_at_fpr_0.001"
    assert [mismatch.field for mismatch in check(copy).mismatches] == [
        f"{field}.low", f"{field}.high", f"{field}.why_unbounded",
    ]  # fmt: skip


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


# What each part of the scores gives; without it, these fields say more than the scores do.
PARTS = {
    "ranks": {"attacks (retrieval)"},
    "average_precision": {"attacks (retrieval)"},
    "accepted": {"attacks[0].metrics.at_half", "attacks[1].metrics.at_half"},
    "validation": {"attacks[0].metrics.calibrated", "attacks[1].metrics.calibrated"},
    "findings": {"utility (rows of findings)"},
    "predictions": {"utility (classifiers)"},
    "pairs matched": {"attacks (negatives)", "controls.matched_negatives"},
    "pairs": {"attacks (negatives)"},
    "verification example_pixels": {"attacks (verification)"},
}


def strip(path: Path, *parts: str) -> None:
    """Takes parts out of the scores, and makes the record name what is left of them."""
    scores, data = path.with_name(path.stem + SUFFIX), json.loads(path.read_text())
    with np.load(scores) as stored:
        kept = {name: stored[name] for name in stored.files if not name.removeprefix("ends ").startswith(parts)}
    np.savez_compressed(scores, allow_pickle=False, **kept)
    data["scores_sha256"] = content_digest(scores)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("part", PARTS)
def test_whoever_takes_scores_away_is_refused(copy, part):
    strip(copy, part)
    found = check(copy)
    assert PARTS[part] <= {mismatch.field for mismatch in found.mismatches}
    assert (found.status, exit_code([found])) == ("refused", 1)


def test_no_old_file_of_scores_lets_edits_pass(copy):
    strip(copy, "ranks", "accepted", "validation", "findings", "labels", "predictions")
    data = json.loads(copy.read_text())
    edit(data, "attacks[2].metrics.r_precision.value", -0.25)
    edit(data, "attacks[0].metrics.at_half.true_positives", -1)
    # Nor does it help to leave out what the scores no longer tell.
    data["utility"] = None
    copy.write_text(json.dumps(data))
    found = check(copy)
    assert exit_code([found]) == 1
    fields = {mismatch.field for mismatch in found.mismatches}
    assert {"attacks (retrieval)", "attacks[0].metrics.at_half"} <= fields
    assert "utility" in found.on_trust, "scores without any findings are withheld, not forged"


def test_a_decision_that_neither_record_nor_scores_tell_is_on_trust(copy):
    strip(copy, "accepted", "validation")
    data = json.loads(copy.read_text())
    for attack in data["attacks"]:
        if attack["task"] == "verification":
            attack["metrics"] |= {"at_half": None, "calibrated": None}
    copy.write_text(json.dumps(data))
    assert {"attacks[].metrics.at_half", "attacks[].metrics.calibrated"} <= set(check(copy).on_trust)


@pytest.mark.parametrize("kept", [0, 1], ids=["none", "one"])
def test_classifiers_are_those_of_the_scores(copy, kept):
    data = json.loads(copy.read_text())
    data["utility"]["classifiers"] = data["utility"]["classifiers"][:kept]
    copy.write_text(json.dumps(data))
    assert "utility (classifiers)" in {mismatch.field for mismatch in check(copy).mismatches}


def test_a_classifier_too_many_and_no_utility_at_all_are_refused(copy):
    data = json.loads(copy.read_text())
    more = data["utility"]["classifiers"][0] | {"trained_on": "originals", "tested_on": "originals"}
    for utility in ({**data["utility"], "classifiers": [*data["utility"]["classifiers"], more]}, None):
        copy.write_text(json.dumps(data | {"utility": utility}))
        assert "utility (classifiers)" in {mismatch.field for mismatch in check(copy).mismatches}


def test_quantiles_and_findings_left_out_are_missed(copy):
    data = json.loads(copy.read_text())
    del data["attacks"][2]["metrics"]["risk"]["best_rank"]["0.05"]
    data["attacks"][2]["metrics"]["chance"]["luck"] = 0.5
    label = next(iter(data["utility"]["classifiers"][0]["per_label"]))
    del data["utility"]["classifiers"][0]["per_label"][label]
    copy.write_text(json.dumps(data))
    assert {mismatch.field for mismatch in check(copy).mismatches} == {
        "attacks[2].metrics.risk.best_rank.0.05",
        "attacks[2].metrics.chance.luck",
        f"utility.classifiers[0].per_label.{label}",
    }


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
        (lambda path: path.with_name(path.stem + SUFFIX).unlink(), "its scores are not beside it"),
        (
            lambda path: path.write_text(re.sub(r'"scores_sha256":"\w+"', '"scores_sha256":null', path.read_text())),
            "made without scores",
        ),
        (lambda path: path.write_text("{"), "no valid JSON"),
        (lambda path: path.write_text('{"schema_version": 1}'), "no reidbench record"),
    ],
)
def test_what_cannot_be_checked_is_an_error_and_no_mismatch(copy, meddle, what):
    meddle(copy)
    with pytest.raises(ReidbenchError, match=what):
        check(copy)


def scrambled(data: bytes) -> bytes:
    """The archive with the middle of its largest part overwritten, its directory as it was."""
    return data[: len(data) // 2] + bytes(range(256)) * 4 + data[len(data) // 2 + 1024 :]


@pytest.mark.parametrize("damage", [lambda data: data[:2000], scrambled, lambda data: b""])
def test_scores_that_are_no_archive_are_an_error_and_no_mismatch(copy, damage):
    scores = copy.with_name(copy.stem + SUFFIX)
    scores.write_bytes(damage(scores.read_bytes()))
    data = json.loads(copy.read_text())
    copy.write_text(json.dumps(data | {"scores_sha256": content_digest(scores)}))
    with pytest.raises(ReidbenchError, match="cannot be read"):
        check(copy)


def test_every_record_of_a_folder_is_checked(copy, tiny_run):
    folder = copy.parent
    others = [record for record in tiny_run["records"] if record.stem != copy.stem]
    for record in others:
        shutil.copy(tiny_run["runs"] / f"{record.stem}.json", folder)
    (folder / "a.json").write_text("{")
    found = list(check_submissions(find_records([folder, copy]), Silent()))
    assert {result.path.name: result.status for result in found} == {
        "a.json": "not checked",
        copy.name: "agrees",
        **{f"{record.stem}.json": "not checked" for record in others},
    }
    lines = "\n".join(result.to_text() for result in found)
    assert f"{folder / 'a.json'}: not checked: no valid JSON" in lines
    assert lines.count("not checked: its scores are not beside it") == 2
    assert exit_code(found) == 2
    assert summary(found).splitlines()[-1] == "records: 1 agree, 0 refused, 3 not checked"
    assert "hyperparameters" in summary(found)
    # An edited copy under the same id is a record of its own, and outweighs those that cannot be checked.
    data = json.loads(copy.read_text())
    edit(data, "attacks[0].metrics.auc.value", -0.01)
    (folder / "z.json").write_text(json.dumps(data))
    found = list(check_submissions(find_records([folder]), Silent()))
    assert found[-1].status == "refused"
    assert exit_code(found) == 1
    assert exit_code([result for result in found if result.status == "agrees"]) == 0


def test_what_scores_tell_of_linkability_and_singling_out_is_computed_again(copy):
    whole = json.loads(copy.read_text())
    assert check(copy).mismatches == ()
    changes = {
        "linkability[0].attacker": "other",
        "linkability[0].closed_world.patients": 1,
        "linkability[0].closed_world.chance": 0.01,
        "linkability[1].gallery_sizes[0].extrapolated": None,
        "singling_out[0].patients": 1,
    }
    for field, change in changes.items():
        data = json.loads(json.dumps(whole))
        steps = [int(step) if step.isdigit() else step for step in re.split(r"\W+", field)]
        place = data
        for step in steps[:-1]:
            place = place[step]
        old = place[steps[-1]]
        place[steps[-1]] = change if isinstance(change, str) else not old if change is None else old + change
        copy.write_text(json.dumps(data))
        assert [mismatch.field for mismatch in check(copy).mismatches] == [field]
    del whole["linkability"][0]
    copy.write_text(json.dumps(whole | {"singling_out": []}))
    fields = {mismatch.field for mismatch in check(copy).mismatches}
    assert {"linkability (linkages)", "singling_out (linkages)"} <= fields


def test_the_figures_on_trust_are_said_in_words(copy):
    found = check(copy)
    said = summary([found]).splitlines()[1]
    assert said.startswith("figures on trust, which only a repetition of the run checks: linkability with several")
    assert {"shares of patients that are singled out", "SSIM and PSNR"} <= set(found.figures_on_trust)
    assert not {"membership and the audited ε", "utility"} & set(found.figures_on_trust)


def test_drops_are_computed_again_where_the_undefended_run_lies_beside(copy, tiny_run):
    bare = check(copy)
    assert bare.mismatches == ()
    assert "drops against the undefended run" in bare.figures_on_trust
    record = read_record(copy)
    (undefended,) = (one for one in tiny_run["records"] if one.id == record.baseline_id)
    for ending in (".json", SUFFIX):
        shutil.copy(tiny_run["runs"] / f"{undefended.stem}{ending}", copy.parent)
    found = check(copy)
    assert found.mismatches == ()
    assert found.checked == bare.checked + 12
    assert "drops against the undefended run" not in found.figures_on_trust
    whole = json.loads(copy.read_text())
    whole["drops"]["map_at_r"]["fall"]["high"] += 0.01
    whole["drops"]["auc"]["after"] += "x"
    copy.write_text(json.dumps(whole))
    assert {one.field for one in check(copy).mismatches} == {"drops.map_at_r.fall.high", "drops.auc.after"}
    del whole["drops"]["auc"]
    copy.write_text(json.dumps(whole))
    assert {one.field for one in check(copy).mismatches} == {"drops.map_at_r.fall.high", "drops.auc"}
