"""new-defense and check-defense: what is written passes its own tests, and what is broken is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from reidbench import ReidbenchError
from reidbench.templates import new_defense

ODD = """
import time
from reidbench import Defense, hookimpl

class Shrinks(Defense):
    "Loses a column."
    name = "shrinks"
    def transform(self, images, *, rng):
        return images[..., 1:]

class Hangs(Defense):
    "Never ends."
    name = "hangs"
    def transform(self, images, *, rng):
        while True:
            time.sleep(0.01)

@hookimpl
def reidbench_defenses():
    return [Shrinks, Hangs]
"""


@pytest.fixture
def odd(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "odd.py").write_text(ODD)
    return folder


def test_a_package_has_under_forty_lines_in_all(tmp_path):
    paths = new_defense("my_fade", tmp_path)
    assert sorted(str(path.relative_to(tmp_path / "reidbench-my-fade")) for path in paths) == [
        ".github/workflows/test.yml",
        "README.md",
        "pyproject.toml",
        "reidbench_my_fade.py",
        "test_my_fade.py",
    ]
    assert sum(len(path.read_text().splitlines()) for path in paths) < 40
    assert "class MyFade(Defense)" in (tmp_path / "reidbench-my-fade" / "reidbench_my_fade.py").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["reidbench-my-fade"], "nothing half-written is left"


@pytest.mark.slow
def test_a_new_package_passes_its_own_tests_at_once(fresh, tmp_path):
    new_defense("field", tmp_path)  # A name that its own module uses otherwise.
    fresh.install(tmp_path / "reidbench-field")
    done = fresh.run("pytest", "-q", cwd=tmp_path / "reidbench-field")
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("My-Fade", "perhaps my_fade"),
        ("1st", "a letter first"),
        ("", "a letter first"),
        ("class", "a letter first"),
        ("none", "no word of Python's own$"),
        ("true", "no word of Python's own$"),
        ("false", "no word of Python's own$"),
        ("mine_", "perhaps mine$"),
        ("my__fade", "perhaps my_fade$"),
        ("plugins", "a module reidbench_plugins is installed already"),
        ("a" * 65, "64 letters at most, and this one 65"),
        ("a" * 300, "64 letters at most, and this one 300"),
        ("../up", "perhaps up"),
        ("a\n", "perhaps a"),
        ("gaussian_noise", "reidbench brings a defense of this name already"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path, name, what):
    with pytest.raises(ReidbenchError, match=what):
        new_defense(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_longest_name_makes_a_package_and_a_place_with_a_longer_one_is_refused(tmp_path):
    assert len(new_defense("a" * 64, tmp_path)) == 5
    with pytest.raises(ReidbenchError, match="cannot be written: File name too long"):
        new_defense("mine", tmp_path / ("o" * 300))


@pytest.mark.parametrize("single_file", [True, False])
def test_what_is_there_is_never_overwritten(tmp_path, single_file):
    (path, *_) = new_defense("mine", tmp_path, single_file=single_file)
    path.write_text("work of weeks")
    with pytest.raises(ReidbenchError, match="is there already"):
        new_defense("mine", tmp_path, single_file=single_file)
    assert path.read_text() == "work of weeks"


def test_a_single_file_conforms_and_its_sheet_shows_before_and_after(call, tmp_path):
    assert call("new-defense", "loose", "--single-file", "--out=plug").stdout.strip() == "plug/loose.py"
    arguments = ("check-defense", "loose:strength=1", "--plugins-dir=plug", "--sheet=sheet.png", "--json")
    findings = json.loads(call(*arguments).stdout)
    assert {"shape", "determinism", "speed"} <= {finding["property"] for finding in findings}
    assert all(finding["passed"] for finding in findings)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    before, after = sheet[30:200, 30:180], sheet[242:400, 30:180]
    assert before.std() > 20
    assert set(np.unique(after)) == {128}, "strength 1 leaves one grey"


def test_a_fitted_single_file_conforms_and_its_sheet_says_what_it_learned_from(call, tmp_path):
    call("new-defense", "loose", "--single-file", "--fitted", "--out=plug")
    arguments = ("check-defense", "loose:epochs=1", "--plugins-dir=plug", "--sheet=sheet.png", "--json")
    findings = json.loads(call(*arguments).stdout)
    assert {"fit", "fit determinism", "fit resumption", "save and load", "batch size"} <= {
        f["property"] for f in findings
    }
    assert all(finding["passed"] for finding in findings)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet[30:200, 30:180] != sheet[242:412, 30:180]).mean() > 0.5
    shown = json.loads(call("describe", "loose", "--plugins-dir=plug", "--json").stdout)
    assert shown["works_on"] == "an image at a time, after a training on the train split"


def test_a_broken_promise_is_named_with_the_smallest_input(call, odd):
    done = call("check-defense", "shrinks", f"--plugins-dir={odd}", "--sheet=sheet.png", check=1)
    line = next(line for line in done.stdout.splitlines() if line.startswith("FAIL"))
    assert line.startswith("FAIL  shrinks: shape: ")
    assert "(1, 1, 32, 31)" in line
    assert "1 black image of 32×32" in line
    assert not (odd.parent / "sheet.png").exists()


@pytest.mark.slow
def test_an_endless_loop_is_stopped_and_its_line_is_told(call, odd):
    done = call("check-defense", "hangs", f"--plugins-dir={odd}", "--timeout=8", check=1)
    assert done.stdout.startswith("FAIL  hangs: time: no end within 8 s; it was at odd.py line 1")


@pytest.mark.slow
def test_within_the_limit_nothing_is_different(call, odd):
    apart = call("check-defense", "shrinks", f"--plugins-dir={odd}", "--timeout=120", check=1)
    here = call("check-defense", "shrinks", f"--plugins-dir={odd}", check=1)
    assert apart.stdout == here.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["check-defense", "gausian_noise"], "did you mean 'gaussian_noise'?"),
        (["check-defense", "gaussian_noise:all"], "name one set of options"),
        (["check-defense", "gaussian_noise:sigma=-1"], "greater than or equal to 0"),
        (["check-defense", "identity", "--timeout=nan"], "--timeout nan: must be a number of seconds above 0"),
        (["check-defense", "identity", "--timeout=0"], "--timeout 0: must be a number of seconds above 0"),
        (["check-defense", "identity", "--timeout=-5"], "--timeout -5: must be a number of seconds above 0"),
        (["new-defense", "My-Fade"], "perhaps my_fade"),
        (["compare", "none.json", "none.json"], "cannot be read"),
        (["sweep", "plan.toml"], "plan.toml: cannot be read"),
        (["sweep", "plan.toml", "identity"], "either one file or defenses"),
        (["sweep", "gausian_noise"], "did you mean 'gaussian_noise'?"),
        (["sweep", "identity", "--preset=quik"], "did you mean 'quick'?"),
    ],
)
def test_bad_input_is_one_clear_line(refused, arguments, what):
    assert what in refused(*arguments)
