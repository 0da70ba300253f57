"""`reidbench run --dry-run`: the plan is printed, and nothing is made."""

from __future__ import annotations

import json

LITTLE = ("--dataset=phantom:patients=40", "--size=32", "--rung=informed/original-released", "--attacker=verification")


def test_a_dry_run_prints_every_step_for_all_defenses_and_seeds_and_leaves_nothing(call, tmp_path):
    given = ("run", "--defense=gaussian_noise", "--defense=pixelate", "--seeds=2", *LITTLE, "--dry-run")
    plan = json.loads(call(*given, "--json", "--quiet").stdout)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache" / "steps").exists()
    records = [step for step in plan["steps"] if step["kind"] == "record"]
    assert [step["what"].split(" of ")[1].split(",")[-1] for step in records] == [" seed 0"] * 3 + [" seed 1"] * 3
    assert len(plan["records"]) == len(records)
    assert {step["state"] for step in plan["steps"]} <= {"to make", "not needed"}
    known = [step["id"] for step in plan["steps"]]
    assert len(known) == len(set(known))
    for step in plan["steps"]:
        assert all(known.index(need) < known.index(step["id"]) for need in step["needs"])
    waiting = [step for step in plan["steps"] if step["depends"]]
    # Two defenses at two seeds: a training and an embedding each.
    assert len(waiting) == 2 * 2 * 2
    text = call(*given).stdout
    assert "train verification on originals" in text
    assert "looks at gaussian_noise or" in text
    assert f"{len(known)} steps: " in text
    assert not (tmp_path / "cache" / "steps").exists()


def test_a_dry_run_refuses_what_a_run_refuses(refused):
    assert "no_such" in refused("run", "--defense=no_such", "--dry-run")
