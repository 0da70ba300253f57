"""Plans: known before anything is made, executed once, and what they say of the time left."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.harness.plan import Costs, Plan, PlannedStep, PlanProgress
from reidbench.harness.run import plan_run, run
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.ladder import parse_ladder
from reidbench.settings import make_settings
from reidbench.steps.cache import CachedStep, StepCache
from reidbench.steps.executors import InTurn

EXAMPLE = Path(__file__).parents[1] / "third_party" / "example"
LITTLE = {
    "bootstrap_runs": "20",
    **{f"{owner}.{name}": "2" for owner in ("classifier", "restorer") for name in ("min_steps", "max_steps")},
    "restorer.width": "8",
}


def arguments(folder, defenses=("gaussian_noise:sigma=0.2",), seeds=(0,), **over):
    registry = Registry([EXAMPLE])
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=folder / "cache",
        attackers=("example_pixels",),
        overrides=LITTLE,
        size=32,
        ladder=parse_ladder(["ignorant/original-released", "informed/original-released"]),
    )
    settings = replace(settings, **over)
    given = (choose_dataset(registry, "phantom:patients=40", None), choose_defenses(registry, list(defenses)), settings)
    return given, {"seeds": list(seeds), "out": folder / "runs", "strict": False, "progress": Silent()}


def planned(folder, *defenses, **over):
    given, named = arguments(folder, *defenses, **over)
    return plan_run(*given, **named)


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")} if folder.exists() else {}


class Counted:
    """Makes steps in turn, and keeps their ids."""

    def __init__(self):
        self.made = []

    def run(self, tasks, *, progress, report):
        self.made += [task.id for task in tasks]
        InTurn().run(tasks, progress=progress, report=report)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder where a plan was made, then executed, and what both knew."""
    folder = tmp_path_factory.mktemp("planned")
    before = planned(folder)
    states = before.plan.state()
    given, named = arguments(folder)
    executor = Counted()
    records = run(*given, **named, done=lambda record, path: None, executor=executor)
    return {"folder": folder, "plan": before.plan, "states": states, "records": records, "made": executor.made}


def test_planning_makes_nothing_and_says_that_all_is_to_be_made(tmp_path):
    found = planned(tmp_path)
    assert not files(tmp_path / "cache" / "steps")
    assert not (tmp_path / "runs").exists()
    kinds = {step.kind for step in found.plan.steps}
    assert kinds == {
        "release",
        "restorer",
        "undoing",
        "restored",
        "choice",
        "attacker",
        "vectors",
        "classifier",
        "record",
    }
    assert set(found.plan.state().values()) <= {"to make", "not needed"}
    assert [path.path.name.split("-")[0] for path in found.records] == ["undefended", "gaussian_noise"]


def test_restored_images_wait_for_the_release_and_for_the_network_that_restores_them(tmp_path):
    # Otherwise a process waits for the network's training, which another process makes, and makes nothing meanwhile.
    plan = planned(tmp_path).plan
    kinds = {step.id: step.kind for step in plan.steps}
    restored = [step for step in plan.steps if step.kind == "restored"]
    assert restored
    for step in restored:
        assert {"restorer", "release"} <= {kinds[need] for need in step.needs}, step.what


def test_an_informed_attacker_depends_on_the_choice_of_what_it_looks_at(tmp_path):
    steps = {step.what: step for step in planned(tmp_path).plan.steps}
    training = steps["train example_pixels, informed/original-released"]
    galleries = "gaussian_noise or restored gaussian_noise"
    choice = f"choose what example_pixels looks at, informed/original-released: {galleries}"
    assert training.waits == f"looks at {galleries}"
    assert steps[choice].id in training.needs
    for name in ("train example_pixels on originals", "restore images of gaussian_noise"):
        assert steps[name].id in steps[choice].needs


def test_executing_a_plan_makes_each_step_once_and_all_that_was_planned(whole):
    assert len(whole["made"]) == len(set(whole["made"]))
    assert set(whole["made"]) == {name for name, state in whole["states"].items() if state == "to make"}
    assert [record.defense.name for record in whole["records"]] == ["undefended", "gaussian_noise"]


def test_the_plan_of_a_second_run_says_that_all_is_there(whole):
    again = planned(whole["folder"])
    assert {step.kind for step in again.plan.steps} == {"record"}
    assert set(again.plan.state().values()) == {"cached"}
    given, named = arguments(whole["folder"])
    executor, before = Counted(), files(whole["folder"])
    assert run(*given, **named, done=lambda record, path: None, executor=executor) == whole["records"]
    assert not executor.made
    assert files(whole["folder"]) == before


def test_without_its_records_a_second_run_makes_only_these(whole, tmp_path):
    given, named = arguments(whole["folder"])
    found = plan_run(*given, **{**named, "out": tmp_path / "elsewhere"})
    assert {step.kind for step in found.plan.to_make()} == {"record"}
    states = {step.what: found.plan.state()[step.id] for step in found.plan.steps}
    # The choice is known now, so that the plan names what is looked at.
    assert any(what.startswith("train example_pixels, informed/original-released on ") for what in states)
    assert {state for what, state in states.items() if not what.startswith("record")} == {"cached"}


def test_another_seed_shares_nothing_that_is_trained(whole):
    found = planned(whole["folder"], seeds=(0, 1))
    states = found.plan.state()
    assert [states[record.step] for record in found.records] == ["cached", "cached", "to make", "to make"]
    trained = [states[step.id] for step in found.plan.steps if step.kind in ("attacker", "classifier", "restorer")]
    assert set(trained) == {"to make"}


def test_a_killed_run_goes_on_with_what_is_left(tmp_path):
    given, named = arguments(tmp_path)

    class Killed(Counted):
        def run(self, tasks, *, progress, report):
            half = tasks[: len(tasks) // 2]
            super().run(half, progress=progress, report=report)
            raise KeyboardInterrupt

    first, second = Killed(), Counted()
    with pytest.raises(KeyboardInterrupt):
        run(*given, **named, done=lambda record, path: None, executor=first)
    run(*given, **named, done=lambda record, path: None, executor=second)
    assert first.made
    assert second.made
    assert not set(first.made) & set(second.made)


def test_the_progress_runs_over_all_defenses_and_seeds_and_ends_at_the_whole(tmp_path):
    shown = []

    class Shown(Silent):
        @contextmanager
        def overall(self, description, steps):
            yield lambda finished, share, left: shown.append((finished, steps, share, left))

    given, named = arguments(tmp_path, ladder=tuple(parse_ladder(["ignorant/original-released"])), seeds=(0, 1))
    steps = len(plan_run(*given, **named).plan.to_make())
    run(*given, **{**named, "progress": Shown()}, done=lambda record, path: None)
    assert {total for _, total, _, _ in shown} == {steps}
    shares = [share for _, _, share, _ in shown]
    assert shares == sorted(shares)
    assert (shown[-1][0], shares[-1], shown[-1][3]) == (steps, pytest.approx(1), pytest.approx(0, abs=1e-6))


def step(name, /, *needs, kind="attacker", done=False, work=lambda progress: None, **key):
    return PlannedStep(name, kind, name, needs, work, done, key=key)


def test_what_only_finished_steps_read_is_not_made_again():
    plan = Plan()
    for one in (step("deep"), step("cached", "deep", done=True), step("wanted", "cached"), step("aside")):
        plan.add(one)
    plan.want("wanted")
    assert [one.id for one in plan.to_make()] == ["wanted"]
    assert plan.state() == {"deep": "not needed", "cached": "cached", "wanted": "to make", "aside": "not needed"}


@pytest.mark.parametrize("content", [b"", b"{", bytes(40), b"[]", b'{"key": {}}', b'{"key": {}, "seconds": null}'])
def test_a_damaged_record_of_a_step_is_no_estimate_and_stops_no_run(tmp_path, content):
    cache = StepCache(tmp_path)
    for number in range(2):
        cache.run("kind", {"name": "a", "number": number}, lambda folder: (folder / "result").write_text("x"))
    first, second = sorted(tmp_path.glob("kind/*/step.json"))
    told = json.loads(second.read_text()) | {"seconds": 5.0}
    second.write_text(json.dumps(told))
    first.write_bytes(content)
    step = PlannedStep("a", "kind", "a", (), lambda progress: None, False, key={"name": "a"})
    assert Costs(tmp_path).seconds(step) == 5.0


def test_costs_are_those_of_the_finished_steps_that_are_most_alike(tmp_path):
    def finished(seconds, **key):
        folder = tmp_path / "attacker" / f"{len(list(tmp_path.rglob('step.json')))}"
        folder.mkdir(parents=True)
        (folder / "step.json").write_text(json.dumps({"kind": "attacker", "key": key, "seconds": seconds}))

    finished(10, name="a", options={"epochs": 1}, start=None)
    finished(30, name="a", options={"epochs": 3}, start=None)
    finished(3, name="a", options={"epochs": 3}, start="x")
    finished(90, name="b", options={"epochs": 3}, start=None)
    costs = Costs(tmp_path)
    assert costs.seconds(step("1", name="a", options={"epochs": 3}, start=None)) == 30
    assert costs.seconds(step("2", name="a", options={"epochs": 3}, start="y")) == 3
    assert costs.seconds(step("3", name="b", options={"epochs": 9}, start=None)) == 90
    assert costs.seconds(step("4", kind="classifier")) is None


def test_the_time_left_scales_what_steps_took_before_by_what_this_run_did(tmp_path, monkeypatch):
    clock = iter([0.0, 100.0, 200.0])
    monkeypatch.setattr("reidbench.harness.plan.time.monotonic", lambda: next(clock))
    (tmp_path / "attacker" / "1").mkdir(parents=True)
    (tmp_path / "attacker" / "1" / "step.json").write_text('{"key": {}, "seconds": 50}')
    shown = []
    watch = PlanProgress([step("a"), step("b")], Costs(tmp_path))
    watch.show = lambda *state: shown.append(state)
    watch.finished("a", 100.0)
    watch.advanced("b", 0.5)
    # Twice as slow as before, of which the first seconds' worth of estimates takes a little.
    assert shown[0] == (1, 0.5, pytest.approx(50 * 110 / 60))
    assert shown[1] == (1, 0.75, pytest.approx(25 * 210 / 85))


def test_a_step_of_the_cache_is_described_before_it_is_made(tmp_path):
    cache = StepCache(tmp_path)
    made = []
    one = CachedStep(cache, "thing", {"a": 1}, lambda folder, progress: made.append(folder))
    assert not one.done()
    plan = Plan()
    plan.want(plan.add_cached([one], "a thing"))
    plan.execute(Silent(), executor=InTurn())
    assert one.done()
    assert one.read().digest == one.digest == cache.digest("thing", {"a": 1})
    assert len(made) == 1
    again = Plan()
    again.want(again.add_cached([one], "a thing"))
    again.execute(Silent(), executor=InTurn())
    assert len(made) == 1


def test_what_is_read_and_gone_is_said(tmp_path):
    one = CachedStep(StepCache(tmp_path), "thing", {"a": 1}, partial(lambda folder, progress: None))
    with pytest.raises(Exception, match="a step that was made is gone"):
        one.read()
