"""A sweep: every combination once, what is recorded skipped, what fails named and nothing else stopped by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench import ReidbenchError
from reidbench.studies.sweep_plan import SweepPlan, make_plan, read_plan


def test_a_grid_is_every_combination_and_nothing_twice():
    plan = make_plan(
        {
            "defenses": ["identity", "gaussian_noise:all", "identity"],
            "defense": [{"name": "pixelate", "options": {"cell": [4, 8], "other": "x"}}, {"name": "identity"}],
        },
        where="here",
    )
    assert plan.texts() == [
        "identity",
        "gaussian_noise:all",
        'pixelate:{"cell": 4, "other": "x"}',
        'pixelate:{"cell": 8, "other": "x"}',
    ]


def test_a_file_is_read_with_its_folder_and_what_is_typed_goes_over_it(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'defenses = ["identity"]\nseeds = [0, 1]\nroot = "data"\ntimeout = 60\nset = { bootstrap_runs = 50 }\n'
        '[[defense]]\nname = "gaussian_noise"\noptions = { sigma = [0.1, 0.5] }\n'
    )
    plan = read_plan(path, {})
    assert (plan.seeds, plan.presets, plan.timeout) == ([0, 1], ["quick"], 60)
    assert plan.root == tmp_path / "data"
    assert len(plan.texts()) == 3
    assert read_plan(path, {"seeds": [7], "root": Path("here")}) == plan.model_copy(
        update={"seeds": [7], "root": Path("here")}
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('defences = ["identity"]', "unknown key 'defences': did you mean"),
        ('defenses = ["identity"]\nseeds = []', "seeds: list should have at least 1 item"),
        ('defenses = ["identity"]\nseeds = ["one"]', r"seeds\.0: input should be a valid integer"),
        ('defenses = ["identity"]\ntimeout = 0', "timeout: input should be greater than 0"),
        ('[[defense]]\nnam = "identity"', r"defense\.0\.name: field required"),
        ("seeds = [1]", "no defense is named"),
        ("defenses = [", "no valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_line(tmp_path, text, what):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ReidbenchError, match=what) as caught:
        read_plan(path, {})
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ReidbenchError, match="cannot be read"):
        read_plan(tmp_path / "none.toml", {})


def test_every_key_of_a_plan_is_documented_where_its_name_is_not_an_option_of_run():
    undocumented = {name for name, field in SweepPlan.model_fields.items() if not field.description}
    assert undocumented == {"seeds", "presets", "dataset", "attackers", "rungs", "size"}
