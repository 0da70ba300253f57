"""The command line: clear errors with exit 2 and nothing written; help at once."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from reidbench import ReidbenchError
from reidbench.cli.arguments import require_folder
from reidbench.cli.command_text import without_paths
from reidbench.plugins import FAMILIES

BAD_DEFENSE = """
import torch
from reidbench import Defense, hookimpl

class Bad(Defense):
    "Breaks a promise."
    name = "{name}"
    def transform(self, images, *, rng):
        return {body}

@hookimpl
def reidbench_defenses():
    return [Bad]
"""


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--defense=gausian_noise"], "unknown defense 'gausian_noise': did you mean 'gaussian_noise'?"),
        (["--defense=gaussian_noise:sgima=1"], "has no option 'sgima': did you mean 'sigma'?"),
        (["--defense=gaussian_noise:sigma=-0.1"], "greater than or equal to 0, not '-0.1'"),
        (["--defense=dp_training:epsilon=2,noise_multiplier=1"], "defense 'dp_training': epsilon and noise_multiplier"),
        (["--defense=gaussian_noise:wild"], "no operating point 'wild': did you mean 'mild'?"),
        (["--defense=identity", "--defense=blackout:value=2"], "less than or equal to 1, not '2'"),
        (["--defense=identity", "--dataset=fantom"], "unknown dataset 'fantom': did you mean 'phantom'?"),
        (["--defense=identity", "--dataset=phantom:patients=few"], "option 'patients'"),
        (["--defense=identity", "--root=."], "dataset 'phantom' takes no folder"),
        (["--defense=identity", "--dataset=chestxray14"], "needs its folder: add --root FOLDER"),
        (["--defense=identity", "--dataset=chestxray14", "--root=nowhere"], "nowhere"),
        (["--defense=identity", "--preset=quik"], "unknown preset 'quik': did you mean 'quick'?"),
        (["--defense=identity", "--attacker=retreival"], "unknown attacker 'retreival': did you mean 'retrieval'?"),
        (["--defense=identity", "--rung=infromed"], "did you mean 'informed'?"),
        (["--defense=identity", "--set=retrieval.epoch=3"], "did you mean 'epochs'?"),
        (["--defense=identity", "--set=bootstrap_runs=0"], "at least 1"),
        (["--defense=identity", "--set=pairs_per_patient=few"], "at least 1"),
        (["--defense=identity", "--set=epochs"], "NAME=VALUE"),
        (["--defense=identity", "--size=8"], "16 to 1024"),
        (["--defense=identity", "--device=quantum"], "--device quantum"),
        (["--defense=identity", "--devices=2", "--preset=paper"], "trains on one device under 'paper'"),
        (["--defense=identity", "--set=retrieval.devices=0"], "greater than or equal to 1, not '0'"),
        (["--defense=identity", "--plugins-dir=nowhere"], "no such folder"),
    ],
)
def test_bad_input_is_one_clear_line(refused, arguments, what):
    assert what in refused("run", *arguments)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("images / 0 * 0", "NaN"),
        ("images[..., 1:]", "made shape"),
        ("images.to('meta')", "on meta"),
        ("images.nothing", "raised AttributeError"),
    ],
)
def test_a_plugin_that_breaks_a_promise_is_named_and_nothing_is_recorded(call, tmp_path, body, what):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text(BAD_DEFENSE.format(name="bad_one", body=body))
    done = call(
        "run", "--defense=bad_one", "--plugins-dir=plugins", "--dataset=phantom:patients=40", "--size=32",
        "--rung=ignorant",
        *(f"--set={a}.{o}" for a in ("verification", "retrieval") for o in ("epochs=1", "min_steps=2", "max_steps=2")),
        *(f"--set=classifier.{o}" for o in ("epochs=1", "min_steps=2", "max_steps=2")), "--set=bootstrap_runs=10",
        check=2,
    )  # fmt: skip
    error = next(line for line in done.stderr.splitlines() if line.startswith("reidbench: error: "))
    assert error.startswith("reidbench: error: bad_one: ")
    assert what in error
    assert not list(tmp_path.rglob("bad_one-*.json"))


CLAIMS = """
from reidbench import Defense, Privacy, hookimpl

class Claims(Defense):
    "Claims what it cannot."
    name = "claims"
    def transform(self, images, *, rng):
        return images
    def privacy(self, height, width):
        return {claim}

@hookimpl
def reidbench_defenses():
    return [Claims]
"""


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("self.nothing", "privacy() raised AttributeError"),
        ("Privacy(-1, 0, 'a pixel')", "privacy() raised ValueError: epsilon=-1"),
        ("(1.0, 0.0, 'a pixel')", "privacy() returned tuple, not Privacy or None"),
        ("Privacy(float('inf'), 0, 'a pixel')", "privacy() claims epsilon=inf, which no record can hold"),
        ("Privacy(1, 0, 'a pixel', steps='many')", "privacy() claims steps='many', which no record can hold"),
    ],
)
def test_a_claim_that_is_none_is_refused_before_any_training(refused, tmp_path, claim, what):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "claims.py").write_text(CLAIMS.format(claim=claim))
    line = refused("run", "--defense=claims", "--plugins-dir=plugins", "--dataset=phantom:patients=40", "--size=32")
    assert line.startswith(f"reidbench: error: claims: {what}")
    assert not (tmp_path / "cache" / "steps").exists()


def _folder(tmp_path, rows):
    for number in range(len(rows)):
        Image.linear_gradient("L").rotate(number * 15).save(tmp_path / f"{number}.png")
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)


def test_a_dataset_without_a_pair_of_one_patient_is_refused(refused, tmp_path):
    rows = [{"path": f"{i}.png", "patient_id": f"p{i}", "split": "train" if i < 6 else "test"} for i in range(12)]
    _folder(tmp_path, rows)
    line = refused("run", "--defense=identity", "--dataset=folder", f"--root={tmp_path}", "--size=32")
    assert "no genuine pair" in line


def test_a_patient_in_two_splits_is_refused_by_name(refused, tmp_path):
    rows = [{"path": f"{i}.png", "patient_id": "twice", "split": s} for i, s in enumerate(["train", "test"])]
    _folder(tmp_path, rows)
    line = refused("run", "--defense=identity", "--dataset=folder", f"--root={tmp_path}", "--size=32")
    assert "twice" in line


def test_an_unreadable_image_is_refused_by_name_with_strict(refused, tmp_path):
    rows = [{"path": f"{i}.png", "patient_id": f"p{i // 2}", "split": "train" if i < 8 else "test"} for i in range(12)]
    _folder(tmp_path, rows)
    (tmp_path / "3.png").write_bytes(b"")
    line = refused("run", "--defense=identity", "--dataset=folder", f"--root={tmp_path}", "--size=32", "--strict")
    assert "3.png" in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["data", "check", "folder", "--root", ""], "--root is empty"),
        (["run", "--defense=identity", "--dataset="], "--dataset is empty"),
        (["leaderboard", ""], "an argument is empty"),
        (["list", "--plugins-dir", ""], "--plugins-dir is empty"),
    ],
)
def test_an_empty_argument_is_refused(refused, arguments, named):
    # A path "" would be the folder that the command is typed in.
    assert named in refused(*arguments)


def test_a_release_takes_one_defense(refused, tmp_path):
    line = refused("release", "--defense=gaussian_noise", "--defense=jpeg", "--dataset=phantom", "--out=given")
    assert "--defense gaussian_noise --defense jpeg: a release has one operating point, and these are 2" in line
    assert not (tmp_path / "given").exists()


def test_more_resamplings_than_a_record_may_state_are_refused_before_any_work(refused):
    line = refused("run", "--defense=identity", "--dataset=phantom:patients=40", "--set=bootstrap_runs=100001")
    assert "bootstrap_runs=100001: a record holds at most 100,000" in line


def test_an_output_that_is_a_file_is_refused(refused, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "of this name exists" in refused("run", "--defense=identity", "--out=taken")


@pytest.mark.parametrize("command", [["run", "--defense=identity"], ["sweep", "identity"]])
@pytest.mark.parametrize("out", ["taken/below", "/proc/foo", "/proc", "o" * 300])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(refused, tmp_path, command, out):
    (tmp_path / "taken").write_text("")
    line = refused(*command, "--dataset=phantom:patients=40", f"--out={out}")
    assert f"--out {out}: " in line
    assert "cannot be written" in line
    assert [path.name for path in tmp_path.iterdir()] == ["taken"], "nothing was loaded or trained"


def test_trying_an_output_folder_leaves_nothing_and_takes_nothing_away(tmp_path):
    require_folder(tmp_path / "new" / "below")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    require_folder(tmp_path / "old")
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]


def test_a_cache_that_cannot_be_a_folder_is_one_line(forked_command, tmp_path):
    arguments = ("run", "--defense=identity", "--dataset=phantom:patients=40", "--quiet")
    done = forked_command(*arguments, cwd=tmp_path, cache="/dev/null", check=2)
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith("reidbench: error: /dev/null")


NO_TEXT = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "kept/a.json"), "kept/a.json: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (NO_TEXT, "a file is not valid utf-8 text: invalid start byte at byte 0 (--debug shows where)"),
    ],
)
def test_what_the_machine_refuses_is_one_line_too(refused, call, monkeypatch, error, what):
    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr("reidbench.cli.app.app", fail)
    assert refused("list") == f"reidbench: error: {what}"
    with pytest.raises(type(error)):
        call("list", "--debug")


def test_an_error_that_names_no_file_keeps_its_traceback(call, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError("what a library says of itself")

    monkeypatch.setattr("reidbench.cli.app.app", fail)
    with pytest.raises(OSError, match="of itself"):
        call("list")


def test_list_names_everything_and_describe_explains_it(call):
    listed = call("list").stdout
    for name in ("gaussian_noise", "identity", "blackout", "phantom", "chestxray14", "retrieval", "verification"):
        assert name in listed
    assert {row["kind"] for row in json.loads(call("list", "defenses", "--json").stdout)["plugins"]} == {"defense"}
    # Defenses stand by family, in the order of FAMILIES; what declares none comes last.
    defenses = [line.split() for line in listed.splitlines() if line.startswith("defense ")]
    families = [row[2] for row in defenses]
    assert {"gaussian_noise": "noise", "dp_pix": "formal", "identity": "control"}.items() <= {
        row[1]: row[2] for row in defenses
    }.items()
    assert families == sorted(families, key=FAMILIES.index)
    described = call("describe", "gaussian_noise").stdout
    line = next(line for line in described.splitlines() if line.strip().startswith("sigma: "))
    assert all(fact in line for fact in ("in units of the [0, 1]", "default 0.1", "≥ 0", "≤ 10"))
    assert "gradients: pass to the image" in described
    assert "gradients: none promised" in call("describe", "jpeg").stdout
    assert "gradients" not in call("describe", "retrieval").stdout
    assert "guarantee: " not in call("describe", "jpeg").stdout
    [guarantee] = [line for line in call("describe", "dp_pix").stdout.splitlines() if line.startswith("guarantee: ")]
    assert "ε = 0.1, δ = 0, unit: a pixel" in guarantee
    assert "for a release whose seed is secret" in guarantee
    assert "did you mean 'gaussian_noise'" in call("describe", "gausian_noise", check=2).stderr


def test_help_and_list_import_nothing_heavy():
    for arguments in (["--help"], ["run", "--help"], ["list"], ["--version"]):
        code = (
            f"import sys; sys.argv = ['reidbench', *{arguments!r}]\n"
            "from reidbench.cli import main\n"
            "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
            "named = {m.split('.')[0] for m in sys.modules}\n"
            "heavy = named & {'torch', 'pandas', 'numpy', 'lightning', 'kornia', 'sklearn'}\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_debug_raises_in_place_of_one_line(call):
    with pytest.raises(ReidbenchError, match="unknown plugin 'nothing'"):
        call("describe", "nothing", "--debug")


def test_a_persons_shell_sees_exit_2_and_one_line(command, tmp_path):
    done = command("describe", "nothing", cwd=tmp_path, cache=tmp_path, check=2)
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("/data/ward", "FOLDER"),
        ("ward/list.csv", "FILE"),
        ("covid19=/data/ward", "covid19=FOLDER"),
        ("folder:manifest=ward.csv,views=all", "folder:manifest=FILE,views=all"),
        ('noise:{"weights": ["~/ward.pth"], "sigma": 0.5}', 'noise:{"weights": ["FILE"], "sigma": 0.5}'),
        ("verification.weights=ward.safetensors", "verification.weights=FILE"),
        ("gaussian_noise:sigma=0.5,seed=1e-3", "gaussian_noise:sigma=0.5,seed=1e-3"),
        ("gaussian_noise:all", "gaussian_noise:all"),
        ("retrieval.epochs=5", "retrieval.epochs=5"),
        ("C:\\ward\\list.csv", "FILE"),
    ],
)
def test_the_command_that_records_and_cards_keep_has_placeholders_for_paths(typed, recorded):
    assert without_paths(typed) == recorded
