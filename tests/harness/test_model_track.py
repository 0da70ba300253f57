"""Published models: attacked, judged and recorded on their own track, by the one command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from reidbench import ReidbenchError, metrics
from reidbench.cohorts.load import load_cohort
from reidbench.harness.model_track import _Distance
from reidbench.harness.recompute import recompute
from reidbench.harness.record import read_record
from reidbench.harness.run import choose_dataset, choose_defenses, run
from reidbench.harness.scores import SUFFIX, read_scores
from reidbench.harness.settings import make_settings
from reidbench.harness.shadows import Confidence, audit, coins, confidence
from reidbench.harness.threats import full_ladder, parse_ladder
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.report.leaderboard import render
from reidbench.report.matching import read_kept
from reidbench.report.repeat import repeat_command
from reidbench.report.site.board import boards
from reidbench.report.site.record_page import record_context
from reidbench.report.terminal import print_summary

DEFENSE = "dp_training:noise_multiplier=0.7,steps=12,batch_size=16,lr=0.02"
LITTLE = {
    "bootstrap_runs": "40",
    "vector_head.min_steps": "8",
    "vector_head.max_steps": "8",
    "vector_head.batch_size": "32",
    "membership.shadows": "3",
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
        assert by == {("vector_distance", "ignorant", True), ("vector_head", "informed", False)}
        # Whoever holds the model makes an original's published vector: one attack, on both linkages.
        for attack in record.attacks:
            (other,) = (
                a for a in record.attacks
                if (a.task, a.attacker, a.negatives) == (attack.task, attack.attacker, attack.negatives)
                and a.linkage != attack.linkage
            )  # fmt: skip
            assert other.metrics == attack.metrics


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
        assert metrics.label_aucs(kept.predictions["originals/originals"], kept.findings).macro == own.macro_auc.value
        assert own.training.images_seen > 0
        assert record.utility.fidelity.ssim is None


def test_no_more_is_proved_than_is_claimed(made):
    plain, private = made["records"]
    for record in (plain, private):
        found = record.membership
        assert found.members == record.dataset.patients["train"]
        assert found.members + found.others == sum(record.dataset.patients.values()) == found.audit.candidates
        assert [attack.attack for attack in found.attacks] == ["loss", "lira"]
        assert found.audit.correct <= found.audit.guesses
    assert private.membership.audit.epsilon_lower <= private.defense.privacy.epsilon
    assert private.membership.audit.delta == private.defense.privacy.delta
    assert plain.membership.audit.delta == 0


def test_a_model_that_remembers_everybody_is_proved_to():
    # Confidence 10 apart for whom each shadow was trained on: every guess is right.
    tossed = np.stack([coins(200, number, 0) for number in range(3)])
    shadows = [Confidence(10.0 * t + np.linspace(0, 1, 200), 10.0 * t + np.linspace(0, 1, 200)) for t in tossed]
    found = audit(shadows, tossed, delta=0.0)
    assert found.correct >= 0.95 * found.guesses
    assert found.epsilon_lower > 2.5
    # And coins that have nothing to do with the model prove nothing.
    other = np.stack([coins(200, number, 1) for number in range(3)])
    assert audit(shadows, other, delta=0.0).epsilon_lower < 1


def test_coins_are_fair_and_their_own():
    tossed = np.stack([coins(4000, number, 0) for number in range(4)])
    assert np.abs(tossed.mean(axis=1) - 0.5).max() < 0.05
    assert np.abs(np.corrcoef(tossed)[np.triu_indices(4, 1)]).max() < 0.06


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
    unit = _Distance().map(vectors)
    block = _Distance().block(unit, unit)
    assert block[0, 1] == block[0, 0] > block[0, 3] > block[0, 2]
    cosine = unit @ unit.T
    np.testing.assert_allclose(_Distance().pairs(unit[[0, 0]], unit[[3, 2]]), -np.sqrt(2 - 2 * cosine[0, [3, 2]]), 1e-5)


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
    assert "proved: ε ≥" in context["membership"][1]
    assert any(name == "utility" for name, _, _ in context["headline"])
    command = repeat_command(private.record)
    assert "--attacker" not in command
    assert "--rung" not in command
    options = json.loads(command.partition("dp_training:")[2].partition("'")[0])
    assert options["noise_multiplier"] == 0.7
