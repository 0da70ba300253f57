"""Runs and audits that start from a bundle: which candidate is kept, what the record says, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from reidbench.bundles.bundle import NONE, read_bundle
from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.cohorts.load import load_cohort
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.harness.known_images import clear
from reidbench.harness.run import plan_run, run
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import parse_ladder
from reidbench.report.figures.origins import KEPT, origins
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary
from reidbench.settings import DEFAULT_BUNDLE, choose_bundle, make_settings
from reidbench.studies.audit import audit
from tests.bundles.conftest import OVERRIDES, TRAINED_ON

CPU = torch.device("cpu")
OTHERS = "phantom:patients=60,seed=5"
#: Budgets of a run with a bundle: its network is the bundle's, so that none is set here.
BUDGETS = {
    name: value
    for name, value in {**OVERRIDES, **{f"{a}.min_steps": "6" for a in ("retrieval", "verification")}}.items()
    if not name.endswith(("weights", "backbone", "dimensions"))
} | {"bootstrap_runs": "50", "classifier.epochs": "1", "classifier.min_steps": "4", "restorer.width": "8"}


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return read_bundle(bundle_folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def settings_with(bundle, cache, **given):
    ladder = given.pop("ladder", parse_ladder(["ignorant", "informed/original-released"]))
    options = {"overrides": BUDGETS, "ladder": ladder, **given}
    return make_settings(Registry(), preset="quick", device=CPU, cache=cache, bundle=bundle, **options)


@pytest.fixture(scope="module")
def records(bundle, cache, tmp_path_factory):
    registry = Registry()
    return run(
        choose_dataset(registry, OTHERS, None),
        choose_defenses(registry, ["identity"]),
        settings_with(bundle, cache),
        seeds=[0],
        out=tmp_path_factory.mktemp("runs"),
        strict=True,
        progress=Silent(),
        done=lambda record, path: None,
    )


def test_the_record_names_the_bundle_and_what_was_kept(records, bundle):
    undefended, identity = records
    assert undefended.dataset.size == bundle.card.size == 32
    told = undefended.bundle
    assert (told.name, told.sha256, told.left_out) == ("small", bundle.digest, 0)
    for name, candidates in told.validation_auc.items():
        assert set(candidates) == {"bundle", "fine-tuned", "cohort"}
        best = max(candidates.values())
        kept = {a.training.origin for a in undefended.attacks if a.attacker == name}
        assert len(kept) == 1
        origin = kept.pop()
        assert candidates[origin] == best
        ignorant = next(a.training for a in undefended.attacks if a.attacker == name and a.knowledge == "ignorant")
        assert ignorant.warm_start == (origin == "fine-tuned")
        assert undefended.hyperparameters[name]["bundle"] == f"small {bundle.digest}"
    assert identity.bundle == undefended.bundle


def test_people_are_told_which_bundle_it_was_and_what_became_of_it(records, bundle, capsys):
    told = origins(records[0])
    assert told.startswith(f"attackers start from the bundle small ({bundle.digest[:12]}), trained on phantom: ")
    for name in ("verification", "retrieval"):
        kept = next(a.training.origin for a in records[0].attacks if a.attacker == name)
        assert f"{name} {KEPT[kept]}" in told
    print_summary(records)
    assert "the bundle small" in " ".join(capsys.readouterr().out.split())
    board = render(records)["phantom.md"]
    assert f"The attackers start from the bundle small ({bundle.digest[:12]}), trained on phantom." in board
    assert origins(records[0].model_copy(update={"bundle": None})) is None


def test_identity_equals_undefended_with_a_bundle_too(records):
    undefended, identity = records
    assert [a.metrics for a in identity.attacks] == [a.metrics for a in undefended.attacks]


def test_informed_attackers_go_on_from_the_candidate_that_was_kept(records):
    for record in records:
        origins = {a.attacker: set() for a in record.attacks if a.training}
        for attack in record.attacks:
            if attack.training:
                origins[attack.attacker].add(attack.training.origin)
        assert all(len(found) == 1 for found in origins.values())
        assert all(a.training.warm_start for a in record.attacks if a.training and a.knowledge == "informed")


def test_another_bundle_is_another_run(bundle, cache, tmp_path):
    registry = Registry()
    source = choose_dataset(registry, OTHERS, None)
    plans = [
        plan_run(
            source, [], settings_with(one, cache, **given), seeds=[0], out=tmp_path, strict=True, progress=Silent()
        )
        for one, given in ((bundle, {}), (None, {"size": 32}))
    ]
    assert plans[0].records[0].path != plans[1].records[0].path
    assert any("choose what retrieval starts from" in step.what for step in plans[0].plan.steps)


def test_the_bundles_attackers_judge_a_folder_of_which_nothing_is_trained_on(bundle, cache):
    dataset = choose_dataset(Registry(), "phantom:patients=12,seed=9", None)
    found = audit(dataset, settings_with(bundle, cache), progress=Silent())
    record = found.records[0]
    assert record.dataset.patients == {"train": 0, "val": 0, "test": 12}
    assert len(found.table) == 12
    assert set(found.retrieval) == {"verification", "retrieval", "fusion"}
    for attack in record.attacks:
        if attack.training is not None:
            assert (attack.training.origin, attack.training.images_seen) == ("bundle", 0)
    # They learned from other generated patients, and find these far above chance.
    assert found.retrieval["fusion"].map_at_r.value > 5 * found.retrieval["fusion"].chance["map_at_r"]
    assert record.bundle.validation_auc["retrieval"] == {"bundle": None}


def test_test_images_that_the_bundle_was_trained_on_are_refused_or_left_out(bundle, cache):
    known = load_cohort(choose_dataset(Registry(), TRAINED_ON, None), size=32, cache=cache)
    assert clear(known, bundle).known_cohort
    swapped = known.frame["split"].map({"train": "test", "test": "train", "val": "val"})
    turned = replace(known, frame=known.frame.assign(split=swapped))
    count = int((swapped == "test").sum())
    with pytest.raises(ReidbenchError, match=f"was trained on {count} of the") as refused:
        clear(turned, bundle)
    assert "--leave-out-known" in str(refused.value)
    with pytest.raises(ReidbenchError, match="was trained on all test images"):
        clear(turned, bundle, leave_out=True)
    part = swapped.to_numpy().copy()
    part[np.flatnonzero(part == "train")] = "test"
    mixed = clear(replace(known, frame=known.frame.assign(split=part)), bundle, leave_out=True)
    assert mixed.left_out == count
    assert len(mixed.cohort) == len(known) - count
    assert mixed.cohort.revision != known.revision
    assert not bundle.seen(mixed.cohort.part("test").pixels).any()
    assert mixed.cohort.frame["patient"].max() + 1 == mixed.cohort.frame["patient_id"].nunique()
    assert any(f"{count} of the" in note for note in mixed.cohort.notes)


def test_an_experiment_on_known_images_is_refused(bundle, cache):
    known = load_cohort(choose_dataset(Registry(), TRAINED_ON, None), size=32, cache=cache)
    turned = replace(known, frame=known.frame.assign(split="test"))
    with pytest.raises(ReidbenchError, match="bundle small was trained on"):
        Experiment(turned, {}, settings_with(bundle, cache), Silent())


def test_a_cohort_of_the_bundles_own_training_images_trains_no_candidate(bundle, cache, tmp_path):
    registry = Registry()
    planned = plan_run(
        choose_dataset(registry, TRAINED_ON, None),
        [],
        settings_with(bundle, cache),
        seeds=[0],
        out=tmp_path,
        strict=True,
        progress=Silent(),
    )
    texts = [step.what for step in planned.plan.steps]
    assert "take retrieval of the bundle small" in texts
    assert not any("further on originals" in text or text == "train retrieval on originals" for text in texts)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": 64}, "is for images of 32 pixels"),
        ({"overrides": {"retrieval.backbone": "resnet18"}}, "has its own network"),
        ({"attackers": ["vector_distance"]}, "but not vector_distance"),
    ],
)
def test_what_does_not_suit_a_bundle_is_refused(bundle_folder, given, told):
    with pytest.raises(ReidbenchError, match=told):
        choose_bundle(str(bundle_folder), generated=True, preset="quick", **given)


def test_the_default_is_for_quick_runs_on_real_patients():
    chosen = choose_bundle(None, generated=False, preset="quick")
    assert chosen.card.name == DEFAULT_BUNDLE
    assert not chosen.card.dataset.generated
    for given in (
        {"generated": True, "preset": "quick"},
        {"generated": False, "preset": "standard"},
        {"generated": False, "preset": "quick", "size": 40},
        {"generated": False, "preset": "quick", "overrides": {"retrieval.weights": "random"}},
        {"generated": False, "preset": "quick", "overrides": {"retrieval.equalize": "clahe"}},
        {"generated": False, "preset": "quick", "attackers": ["plda"]},
    ):
        assert choose_bundle(None, **given) is None
    # An option of an attacker that the bundle does not have asks for no other network.
    for overrides in ({"encoder.weights": "random"}, {"retrieval.warm_epochs": "1"}):
        assert choose_bundle(None, generated=False, preset="quick", overrides=overrides) is not None
    assert choose_bundle(NONE, generated=False, preset="quick") is None


def test_the_commands_take_a_bundle(bundle_folder, forked_command, tmp_path):
    images = tmp_path / "images"
    rows = ["path,patient_id"]
    cohort = load_cohort(choose_dataset(Registry(), "phantom:patients=10,seed=9", None), size=64, cache=tmp_path / "c")
    images.mkdir()
    for row, (pixels, patient) in enumerate(zip(cohort.pixels, cohort.frame["patient_id"])):
        Image.fromarray(np.asarray(pixels)).save(images / f"{row}.png")
        rows.append(f"{row}.png,{patient}")
    (images / "manifest.csv").write_text("\n".join(rows) + "\n")
    given = ["--dataset", "folder", "--root", str(images), "--attackers", str(bundle_folder), "-q", "--json"]
    here = {"cwd": tmp_path, "cache": tmp_path / "cache"}
    done = forked_command("audit", *given, "--set", "bootstrap_runs=50", "--out", "audit", **here)
    assert json.loads(done.stdout)
    refused = forked_command("audit", *given, "--size", "64", "--out", "other", **here, check=2)
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "other").exists()
    listed = forked_command("attacker", "list", str(bundle_folder), **here)
    assert "small" in listed.stdout
    assert "phantom" in listed.stdout
    described = forked_command("attacker", "describe", str(bundle_folder), **here)
    assert "test part" in described.stdout
