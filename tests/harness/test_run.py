"""The whole way through the house, on a small phantom with little training; every step is the real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reidbench import metrics
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, UNDEFENDED, attack_key, read_scores
from reidbench.records.store import read_record, write_record
from reidbench.report.figures.controls import board_controls

# Figures are recorded with eight digits.
DIGITS = 5e-8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(small_run):
    made = [Record.model_validate(record) for record in small_run["records"]]
    return {(r.defense.name, *r.defense.options.values()): r for r in made}


def figures(record: Record) -> list:
    """Every figure of every attack, without what names the training."""
    return [(a.task, a.attacker, a.knowledge, a.linkage, a.negatives, a.metrics.model_dump()) for a in record.attacks]


def test_identity_equals_the_undefended_run_to_the_last_digit(records):
    undefended, identity = records[("undefended",)], records[("identity",)]
    assert figures(identity) == figures(undefended)
    assert identity.linkability == undefended.linkability
    assert identity.singling_out == undefended.singling_out
    assert identity.inference == undefended.inference
    assert [one.linkage for one in identity.linkability] == ["original-released", "released-released"]
    for ours, theirs in zip(identity.attacks, undefended.attacks):
        assert ours.post_processing == theirs.post_processing
        assert ours.training is None or ours.training.checkpoint_sha256 == theirs.training.checkpoint_sha256
    assert identity.utility.classifiers[1].per_label == undefended.utility.classifiers[1].per_label
    assert identity.utility.fidelity.ssim == pytest.approx(1)
    assert identity.utility.fidelity.psnr is None


def test_blackout_is_chance_in_every_figure(records):
    for attack in records[("blackout", 0.0)].attacks:
        # A known original tells nothing of a constant gallery, and a constant nothing of another.
        if attack.task == "verification":
            assert attack.linkage == "original-released" or attack.metrics.auc.value == 0.5
            assert attack.linkage == "original-released" or attack.metrics.tpr_at_fpr_1.value == pytest.approx(0.01)
            assert attack.metrics.auc.low <= 0.5 <= attack.metrics.auc.high
        else:
            assert attack.metrics.map_at_r.value == pytest.approx(attack.metrics.chance["map_at_r"])
            assert attack.metrics.precision_at_1.value == pytest.approx(attack.metrics.chance["precision_at_1"])
    for rung in records[("blackout", 0.0)].singling_out:
        assert (rung.correct.value, rung.wrong.value, rung.unpublished.value) == (0, 0, 0)
    for attribute in records[("blackout", 0.0)].inference.attributes.values():
        assert (attribute.vectors.value, attribute.network.value) == (0.5, 0.5)
    for rung in records[("blackout", 0.0)].linkability:
        assert rung.closed_world.correct.value == pytest.approx(rung.closed_world.chance, abs=1e-4)
        assert all(
            s.precision_at_1.value == pytest.approx(1 / s.gallery, rel=0.2, abs=1e-4) for s in rung.gallery_sizes
        )


def test_both_controls_hold_on_a_board_of_the_run(records):
    controls = board_controls(records.values(), list(records.values()))
    assert controls.line == "identity equals the undefended run in every attack, blackout is at chance"
    assert not controls.reasons


def test_undoing_what_was_not_done_changes_nothing(records):
    of = {(a.task, a.attacker, a.knowledge, a.linkage, a.negatives): a for a in records[("identity",)].attacks}
    inverting = {key: attack for key, attack in of.items() if attack.knowledge == "inverting"}
    assert inverting
    for (task, attacker, _, linkage, negatives), attack in inverting.items():
        other = of[task, attacker, "ignorant", linkage, negatives]
        # Strata are kept of one attack alone.
        assert attack.metrics.model_dump(exclude={"strata"}) == other.metrics.model_dump(exclude={"strata"})


def test_an_attacker_that_could_not_learn_is_flagged(records):
    informed = [a for a in records[("blackout", 0.0)].attacks if a.knowledge == "informed"]
    assert informed
    assert not any(a.learned for a in informed if a.linkage == "released-released" and a.training)


def test_trained_attackers_are_compared_with_no_training(records):
    for record in records.values():
        checked = [attack for attack in record.attacks if attack.check is not None]
        own = {"verification", "retrieval"}
        informed = {(a.attacker, a.linkage) for a in record.attacks if a.knowledge == "informed" and a.attacker in own}
        assert {(a.attacker, a.linkage) for a in checked if a.knowledge == "informed"} == informed
        # Attackers trained on originals are checked on originals alone.
        others = {a.knowledge for a in checked} - {"informed"}
        assert others == ({"ignorant"} if record.defense.kind == "none" else set())
        assert all(a.task == "retrieval" for a in checked)
    blackout = [a.check for a in records[("blackout", 0.0)].attacks if a.check is not None]
    assert {check.verdict for check in blackout} == {"at chance"}
    for check in blackout:
        assert (check.auc, check.raw_auc) == pytest.approx((0.5, 0.5), abs=0.01)


def test_every_record_is_whole(records):
    for record in records.values():
        assert record.complete
        verification = [a for a in record.attacks if a.task == "verification"]
        retrieval = [a for a in record.attacks if a.task == "retrieval"]
        # attackers × knowledge × linkage (× negatives)
        assert len(verification) == 4 * 3 * 2 * 2
        assert len(retrieval) == 4 * 3 * 2
        # Verification, retrieval, their fusion, and its scores revised.
        assert {a.post_processing.base for a in retrieval if a.attacker == "reranking"} == {"fusion"}
        assert all((a.post_processing is None) == (a.attacker != "reranking") for a in retrieval)
        # An informed attacker goes on from the inverting one where that is the better start.
        assert all(a.restoration is not None for a in record.attacks if a.knowledge == "inverting")
        assert all(a.restoration is None for a in record.attacks if a.knowledge == "ignorant")
        assert all(a.metrics.genuine > 0 for a in verification)
        assert [(c.trained_on, c.tested_on) for c in record.utility.classifiers] == [
            ("originals", "release"),
            ("release", "release"),
            ("release", "originals"),
        ]
        assert record.command.startswith("reidbench run")
        assert "/" not in record.command
        if record.defense.kind != "none":
            assert record.baseline_id == records[("undefended",)].id


def test_the_strongest_attack_on_random_negatives_carries_its_strata(records):
    for record in records.values():
        verification = [attack for attack in record.attacks if attack.task == "verification"]
        (kept,) = (attack for attack in verification if attack.metrics.strata is not None)
        highest = max(a.metrics.auc.value for a in verification if a.negatives == "random")
        assert (kept.negatives, kept.metrics.auc.value) == ("random", highest)
        assert all(attack.metrics.calibrated.true_positives is not None for attack in verification)
    attacks = records[("undefended",)].attacks
    kept = next(a for a in attacks if a.task == "verification" and a.metrics.strata is not None)
    assert all(by.missing is None for by in kept.metrics.strata.values())
    assert any(s.calibrated.value > 0 for s in kept.metrics.strata["view"].strata)
    # A fusion gives no probabilities, and so no decision at one half.
    halves = {s.at_half is None for s in kept.metrics.strata["view"].strata}
    assert halves == {kept.metrics.at_half is None}


def test_figures_can_be_computed_again_from_what_is_kept_beside_the_record(small_run, records):
    record = records[("gaussian_noise", 0.1)]
    kept = read_scores(small_run["folder"] / "runs" / f"{record.stem}{SUFFIX}", record.scores_sha256)
    assert list(kept.predictions) == ["originals/release", "release/release", "release/originals"]
    for classifier, logits in zip(record.utility.classifiers, kept.predictions.values()):
        left_out = record.utility.left_out
        found = metrics.label_aucs(logits, kept.findings, admitted=[name not in left_out for name in kept.labels])
        assert found.macro == pytest.approx(classifier.macro_auc.value, rel=DIGITS)
        before = metrics.label_aucs(kept.undefended[UNDEFENDED], kept.findings).auc
        counted = [before[at] - found.auc[at] for at, name in enumerate(kept.labels) if name not in left_out]
        assert classifier.fall.value == pytest.approx(np.mean(counted))
        areas = [None if np.isnan(area) else area for area in found.auc]
        recorded = {name: one.value for name, one in classifier.per_label.items()}
        assert dict(zip(kept.labels, areas)) == pytest.approx(recorded, rel=DIGITS)
    for attack in record.attacks:
        key = attack_key(attack.attacker, attack.knowledge, attack.linkage, attack.negatives)
        if attack.task == "verification":
            found = metrics.roc_auc(kept.verification[key], kept.pairs[attack.negatives][2])
            assert found == pytest.approx(attack.metrics.auc.value, rel=DIGITS)


def test_more_noise_is_less_like_the_original(records):
    mild, heavy = records[("gaussian_noise", 0.1)], records[("gaussian_noise", 1.0)]
    assert mild.utility.fidelity.ssim > heavy.utility.fidelity.ssim
    assert mild.utility.fidelity.psnr > heavy.utility.fidelity.psnr


def test_the_written_record_is_the_printed_one_and_is_never_overwritten(small_run, records):
    for record in records.values():
        path = small_run["folder"] / "runs" / f"{record.defense.name}-{record.id}.json"
        assert read_record(path) == record
        before = path.read_bytes()
        write_record(record.model_copy(update={"command": "another"}), path.parent)
        assert path.read_bytes() == before


def test_a_second_run_takes_every_step_from_the_cache(small_run, forked_command):
    folder = small_run["folder"]
    before = {path: path.stat().st_mtime_ns for path in (folder / "cache" / "steps").rglob("step.json")}
    again = forked_command(
        "run", "--defense=blackout", *small_run["arguments"], "--json", cwd=folder, cache=folder / "cache"
    )
    after = {path: path.stat().st_mtime_ns for path in (folder / "cache" / "steps").rglob("step.json")}
    assert after == before
    known = {record["id"]: record for record in small_run["records"]}
    for record in json.loads(again.stdout):
        assert record["attacks"] == known[record["id"]]["attacks"]


def test_a_second_defense_trains_nothing_on_originals_again(small_run, forked_command):
    folder = small_run["folder"]

    def trained() -> set[Path]:
        return {
            p.parent for kind in ("attacker", "classifier") for p in (folder / "cache/steps" / kind).glob("*/step.json")
        }

    before = trained()
    forked_command(
        "run", "--defense=gaussian_noise:sigma=0.3", "--rung=ignorant", *small_run["arguments"],
        cwd=folder, cache=folder / "cache",
    )  # fmt: skip
    new = trained() - before
    assert [path.parent.name for path in new] == ["classifier"], "only the classifier of the release is new"


def test_a_limited_ladder_is_said_and_marked(small_run, forked_command):
    folder = small_run["folder"]
    done = forked_command(
        "run", "--defense=blackout", "--rung=ignorant/released-released", *small_run["arguments"], "--out=limited",
        cwd=folder, cache=folder / "cache",
    )  # fmt: skip
    assert "incomplete" in done.stdout
    record = read_record(next((folder / "limited").glob("blackout-*.json")))
    assert not record.complete
    assert {(a.knowledge, a.linkage) for a in record.attacks} == {("ignorant", "released-released")}


def test_a_list_of_pairs_takes_the_place_of_built_ones(small_run, forked_command):
    folder = small_run["folder"]
    test = Phantom(patients=90).source().frame.query("split == 'test'")
    linked = test.groupby("patient_id").filter(lambda images: len(images) > 1)
    first, second = linked.groupby("patient_id").head(1), linked.groupby("patient_id").nth(1)
    genuine = list(zip(first["image_id"], second["image_id"]))
    impostors = list(zip(first["image_id"], second["image_id"].iloc[::-1]))
    impostors = [(a, b) for a, b in impostors if a.split("_")[0] != b.split("_")[0]]
    lines = [f"{a}\t{b}\t1" for a, b in genuine] + [f"{a}\t{b}\t0" for a, b in impostors] + ["gone\tp00000_000\t0"]
    (folder / "pairs.txt").write_text("\n".join(lines))
    forked_command(
        "run", "--defense=identity", "--rung=ignorant/original-released", "--pairs=pairs.txt", "--out=listed",
        *small_run["arguments"], cwd=folder, cache=folder / "cache",
    )  # fmt: skip
    record = read_record(next((folder / "listed").glob("identity-*.json")))
    judged = [a for a in record.attacks if a.task == "verification"]
    assert {a.negatives for a in judged} == {"listed"}
    assert {(a.metrics.genuine, a.metrics.impostor) for a in judged} == {(len(genuine), len(impostors))}
    assert any("1 of" in note and "not there" in note for note in record.dataset.notes)
    assert set(record.overrides) >= {"pairs"}


def test_the_final_table_fits_a_hundred_columns(small_run, forked_command):
    folder = small_run["folder"]
    done = forked_command(
        "run", "--defense=blackout", "--defense=gaussian_noise:sigma=0.1", *small_run["arguments"], "--strata",
        cwd=folder, cache=folder / "cache",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    for word in ("undefended", "blackout", "AUC, strongest", "drop", "utility", "Years between visits"):
        assert word in done.stdout
