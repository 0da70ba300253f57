"""Published models: attacked, judged and recorded on their own track, by the one command."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch

from reidbench import ReidbenchError, metrics
from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.cohorts.load import load_cohort
from reidbench.harness.run import run
from reidbench.harness.scores.vectors import VectorDistance
from reidbench.harness.untrained import NETWORKS
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import full_ladder, parse_ladder
from reidbench.records.membership import confidence, power_at, proved_at, unclaimed_delta
from reidbench.records.parts.membership import AuditTrial
from reidbench.records.recompute import recompute
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.records.store import read_record
from reidbench.report.figures.membership import membership_lines, untrained_line
from reidbench.report.figures.paired.matching import read_kept
from reidbench.report.figures.summary import contradiction
from reidbench.report.site.board import boards
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.report.text.repeat import repeat_command
from reidbench.report.text.terminal import print_summary
from reidbench.settings import make_settings

DEFENSE = "dp_training:noise_multiplier=0.7,steps=12,batch_size=16,lr=0.02"
LITTLE = {
    "bootstrap_runs": "40",
    "finding_patients": "1",
    "vector_head.min_steps": "8",
    "vector_head.max_steps": "8",
    "vector_head.batch_size": "32",
    "membership.shadows": "3",
    "membership.canaries": "60",
    "membership.canary_models": "1",
}


def settings(registry, cache, rungs=(), **over):
    return make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=cache,
        overrides=LITTLE | over,
        size=32,
        ladder=parse_ladder(list(rungs)),
        command="reidbench run --defense dp_training",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The undefended model and a private one, on a phantom of 60 patients; in process."""
    folder = tmp_path_factory.mktemp("model_track")
    registry = Registry()
    records = run(
        choose_dataset(registry, "phantom:patients=60", None),
        choose_defenses(registry, [DEFENSE]),
        settings(registry, folder / "cache"),
        seeds=[0],
        out=folder / "runs",
        strict=False,
        progress=Silent(),
        done=lambda record, path: None,
    )
    return {"runs": folder / "runs", "cache": folder / "cache", "records": records}


def test_vectors_single_patients_out_and_tell_of_sex_and_age(made):
    patients = made["records"][0].dataset.patients["test"]
    for record in made["records"]:
        by_linkage = {}
        for one in record.singling_out:
            by_linkage.setdefault(one.linkage, []).append(one.model_dump(exclude={"linkage"}))
        # The attacker makes the very vector that was published: both linkages are one attack.
        assert list(by_linkage) == ["original-released", "released-released"]
        assert by_linkage["original-released"] == by_linkage["released-released"]
        assert all(0 < one.patients <= patients and one.calibrated_on == "validation" for one in record.singling_out)
        assert (record.inference.attacker, record.inference.learned_on) == ("vector_distance", "train")
        assert record.inference.attributes
        for inferred in record.inference.attributes.values():
            assert inferred.network is None
            assert 0 <= inferred.vectors.value <= 1
            assert inferred.table is not None
        page = record_context(read_kept([made["runs"] / f"{record.stem}.json"])[0], None)
        assert {answer.question for answer in page["assessment"]} == {"linkability", "singling out", "inference"}
        assert "from a published vector" in page["assessment"][-1].words
    # The table alone knows nothing of the model.
    first, second = (record.inference.attributes for record in made["records"])
    assert {name: one.table for name, one in first.items()} == {name: one.table for name, one in second.items()}


def test_the_same_model_without_the_defense_is_the_baseline(made):
    plain, private = made["records"]
    assert (plain.track, private.track) == ("model", "model")
    assert (plain.defense.kind, private.defense.kind) == ("none", "model")
    assert plain.defense.options == {**private.defense.options, "epsilon": "inf", "noise_multiplier": None}
    assert plain.defense.privacy is None
    assert private.baseline_id == plain.id
    assert plain.baseline_id is None
    assert plain.complete
    assert private.complete


def test_each_rung_of_the_track_is_climbed_by_its_attacker(made):
    for record in made["records"]:
        assert {(a.knowledge, a.linkage) for a in record.attacks} == {
            (rung.knowledge, rung.linkage) for rung in full_ladder("model")
        }
        by = {(a.attacker, a.knowledge, a.training is None) for a in record.attacks}
        own = {("vector_distance", "ignorant", True), ("vector_head", "informed", False)}
        assert by == own | {("reranking", "ignorant", True), ("reranking", "informed", True)}
        # Whoever holds the model makes an original's published vector: one attack, on both linkages.
        for attack in record.attacks:
            (other,) = (
                a for a in record.attacks
                if (a.task, a.attacker, a.knowledge, a.negatives)
                == (attack.task, attack.attacker, attack.knowledge, attack.negatives)
                and a.linkage != attack.linkage
            )  # fmt: skip
            # Strata are kept of one attack alone.
            assert other.metrics.model_dump(exclude={"strata"}) == attack.metrics.model_dump(exclude={"strata"})


def test_the_record_says_what_was_guaranteed_to_whom(made):
    privacy = made["records"][1].defense.privacy
    assert "patient" in privacy.unit
    assert (privacy.noise_multiplier, privacy.clipping_norm, privacy.steps) == (0.7, 1.0, 12)
    train = made["records"][1].dataset.patients["train"]
    assert privacy.delta == pytest.approx(0.1 / train)
    assert privacy.sample_rate == pytest.approx(16 / train)


def test_utility_is_that_of_the_published_model_itself(made):
    for record in made["records"]:
        (own,) = record.utility.classifiers
        assert (own.trained_on, own.tested_on) == ("originals", "originals")
        kept = read_scores(made["runs"] / f"{record.stem}{SUFFIX}", record.scores_sha256)
        found = metrics.label_aucs(kept.predictions["originals/originals"], kept.findings)
        # Eight digits are recorded.
        assert found.macro == pytest.approx(own.macro_auc.value, rel=5e-8)
        assert own.training.images_seen > 0
        assert record.utility.fidelity.ssim is None


def test_membership_and_audit_are_recorded_of_everybody(made):
    plain, private = made["records"]
    for record in (plain, private):
        found = record.membership
        assert found.members == record.dataset.patients["train"]
        assert found.members + found.others == sum(record.dataset.patients.values())
        assert [attack.attack for attack in found.attacks] == ["loss", "lira", "blind"]
        assert [attack.attack for attack in found.drawn.attacks] == ["loss", "lira", "blind"]
        assert (found.drawn.targets, found.drawn.patients) == (3, 60)
        assert found.audit.correct <= found.audit.guesses
        assert found.unknown is None
        best = max(found.audit.trials, key=lambda one: (one.correct - one.guesses / 2) / max(1, one.guesses) ** 0.5)
        assert best.guesses >= 2
        # Both at the delta of the claim: at another the same guesses prove another epsilon.
        assert found.audit.delta == private.defense.privacy.delta
        assert proved_at(found, found.audit.delta) == (found.audit.epsilon_lower, found.audit.epsilon_most)
        assert (found.audit.canaries, found.audit.models, found.audit.candidates) == (60, 1, 60)
        power = found.audit.without_privacy.epsilon_lower
        assert power_at(found, found.audit.delta) == power
        assert f"without privacy it proves ε ≥ {power:.3g}" in membership_lines(record)[-1]
    # The undefended model is what the private one's audit is compared with.
    assert plain.membership.audit.trials == plain.membership.audit.without_privacy.trials
    assert private.membership.audit.without_privacy.trials == plain.membership.audit.trials


def test_the_audit_says_what_it_cannot_contradict(made):
    private = made["records"][1]
    audited = private.membership.audit

    def line(claim):
        privacy = private.defense.privacy.model_copy(update={"epsilon": claim})
        defense = private.defense.model_copy(update={"privacy": privacy})
        return membership_lines(private.model_copy(update={"defense": defense}))[-1]

    assert "can't reject the claim" in line(audited.epsilon_most + 0.1)
    assert "can't reject" not in line(audited.epsilon_most - 0.1)
    assert f"of at most {audited.epsilon_most:.3g}" in line(1.0)


def test_untrained_networks_are_attacked_as_the_published_one_is(made):
    plain, private = made["records"]
    # The control of a defense is that of the model without it.
    assert plain.untrained == private.untrained
    assert set(plain.untrained.auc) == {attack.negatives for attack in plain.attacks if attack.negatives}
    for found in (plain.untrained.map_at_r_patients, *plain.untrained.auc.values()):
        assert len(set(found)) == NETWORKS
    # The trained head is compared with the vectors as they are, on both linkages.
    checked = {(a.attacker, a.linkage) for a in private.attacks if a.check is not None}
    assert checked == {("vector_head", "original-released"), ("vector_head", "released-released")}
    # Having learned nothing, each links better than chance.
    assert min(plain.untrained.auc["random"]) > 0.6
    assert untrained_line(private).count("untrained") >= 3


def test_audits_compare_at_one_delta_and_old_ones_too(made):
    plain, private = made["records"]
    old = plain.membership.audit.model_copy(
        update={"delta": 0.0, "trials": None, "epsilon_most": None, "guesses": 20, "correct": 20}
    )
    membership = plain.membership.model_copy(update={"audit": old})
    lower, most = proved_at(membership, 0.0)
    level = 1 - 0.05 / 6
    assert lower == metrics.epsilon_lower_bound(20, 20, old.candidates, delta=0.0, level=level) > 0
    assert most >= lower
    delta = private.membership.audit.delta
    assert proved_at(membership, delta)[0] <= lower
    page = render([plain.model_copy(update={"membership": membership}), private])["phantom-models.md"]
    assert page.count(f"(δ = {delta:g})") == 2
    assert "(δ = 0)" not in page


def _claiming(record, epsilon, delta, *, right=1.0):
    """The record with another claim, and an audit at its delta of 600 patients with this share of right guesses."""
    trials = [
        AuditTrial(attack=attack, guesses=guesses, correct=int(right * guesses))
        for attack in ("loss", "lira") for guesses in (600, 300, 60)
    ]  # fmt: skip
    audited = record.membership.audit.model_copy(update={"candidates": 600, "delta": delta, "trials": trials})
    membership = record.membership.model_copy(update={"audit": audited})
    lower, most = proved_at(membership, delta)
    audited = audited.model_copy(update={"epsilon_lower": lower, "epsilon_most": most})
    privacy = record.defense.privacy and record.defense.privacy.model_copy(update={"epsilon": epsilon, "delta": delta})
    return record.model_copy(
        update={
            "membership": record.membership.model_copy(update={"audit": audited}),
            "defense": record.defense.model_copy(update={"privacy": privacy}),
        }
    )


def test_a_claim_of_a_large_delta_takes_no_proof_from_the_others(made):
    # Of so few patients as here nothing is proved at any delta but 0.
    many = made["records"][0].dataset.model_copy(update={"patients": {"train": 393, "val": 65, "test": 142}})
    plain, private = (record.model_copy(update={"dataset": many}) for record in made["records"])
    fixed = unclaimed_delta(393)
    remembers = _claiming(plain, None, fixed)
    lower, _ = proved_at(remembers.membership, fixed)
    assert lower > 2
    assert proved_at(remembers.membership, 0.01)[0] < lower / 10
    for delta in (private.defense.privacy.delta, 0.01, 0.9):
        page = render([remembers, _claiming(private, 8.0, delta)])["phantom-models.md"]
        assert f"{lower:.3f} of {lower:.3g} (δ = {fixed:g})" in page
        (board,) = boards([remembers, _claiming(private, 8.0, delta)])
        proofs = {line.row.label: cell.value for line in board.lines for cell in line.cells if "(δ" in cell.text}
        assert lower in proofs.values()


def test_a_claim_that_its_own_audit_contradicts_is_marked_wherever_it_is_shown(made, capsys):
    # The attackers and models of so short a run learn nothing, which is another matter.
    fine = {"controls": made["records"][0].controls.model_copy(update={"problems": []}), "untrained": None}
    plain, private = (
        record.model_copy(update=fine | {"attacks": [a.model_copy(update={"check": None}) for a in record.attacks]})
        for record in made["records"]
    )
    false = _claiming(private, 1.0, 2.5e-4)
    assert false.membership.audit.epsilon_lower > 3
    reason = contradiction(false)
    assert "ε ≥ 3.08 is proved at 95% confidence and δ = 0.00025, and ε = 1 claimed (seed 0)" in reason
    pages = render([plain, false])
    status = "claim contradicted by its audit"
    assert pages["phantom-models.md"].count(f"| {status} |") == 1
    assert "is invalid: its own audit contradicts" in pages["phantom-models.md"]
    rows = list(csv.DictReader(io.StringIO(pages["phantom-models.csv"])))
    assert sorted(row["problems"] for row in rows) == ["", reason]
    assert {row["pareto_front"] for row in rows if row["problems"]} == {"False"}
    (board,) = boards([plain, false])
    marked = [line for line in board.lines if line.row.problems]
    assert [(line.cells[-1].text, line.row.sound, line.front) for line in marked] == [(status, False, False)]
    print_summary([plain, false])
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("INVALID") == 1
    assert "invalid: its own audit contradicts" in text
    assert "CLAIM CONTRADICTED" in membership_lines(false)[-1]
    # Failed controls are said beside it.
    controls = false.controls.model_copy(update={"problems": ["never learned"]})
    both = render([plain, false.model_copy(update={"controls": controls})])["phantom-models.md"]
    assert f"| invalid controls, {status} |" in both


def test_a_claim_is_held_against_what_is_proved_at_its_own_delta(made):
    plain, private = made["records"]
    # Four fifths of the guesses right prove about 1 at no delta, and nothing at a large one.
    assert proved_at(_claiming(private, 0.5, 0.0, right=0.8).membership, 0.0)[0] > 0.5
    assert contradiction(_claiming(private, 0.5, 0.0, right=0.8)) is not None
    assert contradiction(_claiming(private, 0.5, 0.01, right=0.8)) is None
    assert contradiction(_claiming(private, 4.0, 0.0, right=0.8)) is None
    assert contradiction(_claiming(plain, None, 0.0)) is None
    assert contradiction(private.model_copy(update={"membership": None})) is None
    # What was proved at a larger delta holds for the claim, whatever trials are recorded.
    audited = private.membership.audit.model_copy(update={"delta": 1e-3, "epsilon_lower": 2.0})
    found = private.membership.model_copy(update={"audit": audited})
    claimed = _claiming(private, 1.0, 2.5e-4, right=0.5).model_copy(update={"membership": found})
    assert "ε ≥ 2 is proved" in contradiction(claimed)
    # A claim of no sense is no crash.
    assert contradiction(_claiming(private, 1.0, 0.5).model_copy(update={"defense": claimed.defense.model_copy(
        update={"privacy": claimed.defense.privacy.model_copy(update={"delta": 3.0})})})) is None  # fmt: skip


def test_confidence_is_a_patients_mean_over_known_findings(made):
    cohort = load_cohort(
        choose_dataset(Registry(), "phantom:patients=60", None),
        size=32, cache=made["cache"], strict=False, progress=Silent(),
    )  # fmt: skip
    truth = cohort.frame[list(cohort.labels)].to_numpy(float)
    sure = confidence((20.0 * (2 * truth - 1)).astype(np.float32), cohort)
    unsure = confidence(np.zeros(truth.shape, dtype=np.float32), cohort)
    assert len(sure.loss) == cohort.frame["patient"].nunique()
    np.testing.assert_allclose(unsure.loss, -np.log(2))
    np.testing.assert_allclose(unsure.logit, np.log(0.5 ** truth.shape[1] / (1 - 0.5 ** truth.shape[1])))
    assert (sure.logit > 15).all()


def test_distance_is_cosine_and_equal_vectors_tie():
    vectors = np.array([[1, 0], [3, 0], [0, 2], [1, 1]], dtype=np.float32)
    unit = VectorDistance().map(vectors)
    block = VectorDistance().block(unit, unit)
    assert block[0, 1] == block[0, 0] > block[0, 3] > block[0, 2]
    cosine = unit @ unit.T
    np.testing.assert_allclose(
        VectorDistance().pairs(unit[[0, 0]], unit[[3, 2]]), -np.sqrt(2 - 2 * cosine[0, [3, 2]]), 1e-5
    )


def test_figures_can_be_computed_again_from_the_scores(made):
    for record in made["records"]:
        path = made["runs"] / f"{record.stem}{SUFFIX}"
        found = recompute(record, read_scores(path, record.scores_sha256))
        assert not found.mismatches
        assert read_record(made["runs"] / f"{record.stem}.json") == record


def test_a_second_run_reads_what_is_recorded(made):
    registry = Registry()
    before = {path: path.stat().st_mtime_ns for path in made["runs"].iterdir()}
    again = run(
        choose_dataset(registry, "phantom:patients=60", None),
        choose_defenses(registry, [DEFENSE, "dp_training:epsilon=inf,steps=12,batch_size=16,lr=0.02"]),
        settings(registry, made["cache"]),
        seeds=[0],
        out=made["runs"],
        strict=False,
        progress=Silent(),
        done=lambda record, path: None,
    )
    # The undefended model, asked for by name, is the baseline and judged once.
    assert again == made["records"]
    assert {path: path.stat().st_mtime_ns for path in made["runs"].iterdir()} == before


def test_only_rungs_of_the_track_can_be_asked_for(tmp_path):
    registry = Registry()
    with pytest.raises(ReidbenchError, match="a published model is attacked on ignorant/original-released"):
        run(
            choose_dataset(registry, "phantom:patients=60", None),
            choose_defenses(registry, [DEFENSE]),
            settings(registry, tmp_path / "cache", rungs=["inverting"]),
            seeds=[0],
            out=tmp_path / "runs",
            strict=False,
            progress=Silent(),
            done=lambda record, path: None,
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["dp_training", "federated"])
def test_an_epsilon_out_of_reach_is_refused_before_anything_is_trained(tmp_path, name):
    registry = Registry()
    options = {"dp_training": "steps=1000000,batch_size=65536", "federated": "rounds=1000,steps=1000,batch_size=65536"}
    (chosen,) = choose_defenses(registry, [f"{name}:epsilon=0.05,delta=1e-12,{options[name]}"])
    with pytest.raises(ReidbenchError, match=f"{name}: epsilon=0.05, delta=1e-12: no noise is found"):
        run(
            choose_dataset(registry, "phantom:patients=40", None),
            [chosen],
            settings(registry, tmp_path / "cache"),
            seeds=[0],
            out=tmp_path / "out",
            strict=False,
            progress=Silent(),
            done=lambda record, path: None,
        )
    assert not list((tmp_path / "cache" / "steps").glob("*/*"))
    assert not (tmp_path / "out").exists()


def test_tracks_share_no_table(made, tiny_run, capsys):
    pages = render([*tiny_run["records"], *made["records"]])
    assert {"phantom.md", "phantom.csv", "phantom-models.md", "phantom-models.csv"} <= set(pages)
    assert pages["phantom.md"] == render(tiny_run["records"])["phantom.md"]
    assert "dp\\_training" not in pages["phantom.md"]
    assert "gaussian" not in pages["phantom-models.md"]
    assert "| utility | membership | ε | ε, proved |" in pages["phantom-models.md"]
    images, models = boards([*tiny_run["records"], *made["records"]])
    assert {name for name, _ in models.columns} - {name for name, _ in images.columns} == {
        "utility", "membership", "ε, proved",
    }  # fmt: skip
    assert all(len(line.cells) == len(models.columns) for line in models.lines)
    assert list(models.chart["axes"]["utility"]) == ["release"]
    print_summary([*tiny_run["records"], *made["records"]])
    images, models = capsys.readouterr().out.split("claimed ε")
    assert "retrained*" in images
    assert "proved: ε ≥" in models
    assert "∞" in models


def test_the_records_page_tells_of_membership(made):
    private = next(kept for kept in read_kept([made["runs"]]) if kept.record.defense.kind == "model")
    context = record_context(private, private.baseline_kept())
    assert "proved: ε ≥" in context["membership"][-1]
    assert any(name == "utility" for name, _, _ in context["headline"])
    command = repeat_command(private.record)
    assert "--attacker" not in command
    assert "--rung" not in command
    options = json.loads(command.partition("dp_training:")[2].partition("'")[0])
    assert options["noise_multiplier"] == 0.7
