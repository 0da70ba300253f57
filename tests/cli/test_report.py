"""Pages and checks on the command line: what is written where, exit codes, and what is refused."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from record_files import full_json

from reidbench.cohorts.base import Cohort
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.examples import keep_examples, read_examples
from reidbench.records.scores import SUFFIX
from reidbench.report.figures.titles import Titles
from reidbench.report.text.repeat import explain_command, repeat_command
from reidbench.studies.example_images import ExampleSource

# A picture of one white pixel.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG6Z8xQAAAABJRU5ErkJggg==")


@pytest.fixture
def runs(tiny_run, tmp_path):
    """A copy of real records with their scores, and the cache that they were made with."""
    (tmp_path / "cache").symlink_to(tiny_run["cache"])
    return shutil.copytree(tiny_run["runs"], tmp_path / "kept")


def test_a_report_lies_beside_its_record_or_where_it_is_told(call, runs, tiny_run, tmp_path):
    stem = tiny_run["records"][1].stem
    done = call("report", f"kept/{stem}.json", "--quiet")
    assert done.stdout.split() == [f"kept/{stem}.html"]
    assert done.stderr == ""
    assert {p.name for p in (runs / "static").iterdir()} == {
        "charts.js", "labels.js", "plotly.min.js", "style.css", "table.js",
    }  # fmt: skip
    # The undefended run lies beside the record, and is found there.
    assert "Drops are against the undefended run" in (runs / f"{stem}.html").read_text()
    call("report", f"kept/{stem}.json", "--out=pages", "--quiet")
    assert {p.name for p in (tmp_path / "pages").iterdir()} == {
        "static", f"{stem}.html", f"{stem}.json", f"{stem}.png",
    }  # fmt: skip


def test_attention_maps_are_shown_where_images_may_be(call, runs, tiny_run):
    first, second = (record.stem for record in tiny_run["records"][1:])
    (runs / f"{first}.attention.png").write_bytes(PIXEL)
    call("report", f"kept/{first}.json", f"kept/{second}.json", "--out=pages", "--quiet")
    assert (runs.parent / "pages" / f"{first}.attention.png").read_bytes() == PIXEL
    assert f'<img src="{first}.attention.png"' in (runs.parent / "pages" / f"{first}.html").read_text()
    without = (runs.parent / "pages" / f"{second}.html").read_text()
    assert f"--size 32 --out {second}.attention.webp" in without
    # The command that is shown instead is one that works.
    command = shlex.split(explain_command(tiny_run["records"][2], f"kept/{second}.attention.webp"))[1:]
    call(*command, "--ignorant-only", "--quiet")
    assert Image.open(runs / f"{second}.attention.webp").format == "WEBP"


def test_attention_maps_stay_where_a_release_cannot_be_made_again(call, runs, tiny_run, monkeypatch):
    stem = tiny_run["records"][1].stem
    monkeypatch.setattr(ExampleSource, "make", lambda *_: "its weights are gone")
    (runs / f"{stem}.examples.webp").unlink()
    call("report", f"kept/{stem}.json", "--out=pages", "--quiet")
    page = (runs.parent / "pages" / f"{stem}.html").read_text()
    assert "No images: its weights are gone." in page
    assert f"--out {stem}.attention.webp" in page
    (runs / f"{stem}.attention.png").write_bytes(PIXEL)
    call("report", f"kept/{stem}.json", "--out=pages", "--quiet")
    assert f'<img src="{stem}.attention.png"' in (runs.parent / "pages" / f"{stem}.html").read_text()


def test_images_kept_beside_a_record_are_shown_where_it_cannot_be_made_again(call, runs, tiny_run, monkeypatch):
    record = tiny_run["records"][1]
    made = ExampleSource(Registry(), tiny_run["cache"], Silent()).make(record)
    monkeypatch.setattr(ExampleSource, "make", lambda *_: "its weights are gone")
    before, after = read_examples(runs / f"{record.stem}.examples.webp", record.dataset.size)
    assert before.shape == after.shape == made.before.shape
    for kept, exact in ((before, made.before), (after, made.after)):
        # Compressed, and yet much nearer to its own image than originals and published images are to each other.
        assert np.abs(kept.astype(int) - exact).mean() < 0.2 * np.abs(made.after.astype(int) - made.before).mean()
    call("report", f"kept/{record.stem}.json", "--out=pages", "--quiet")
    page = (runs.parent / "pages" / f"{record.stem}.html").read_text()
    assert "kept beside the record" in page
    assert (runs.parent / "pages" / f"{record.stem}.png").is_file()
    # Another file of that name is no reason to fail: it is passed over.
    (runs / f"{record.stem}.examples.webp").write_bytes(PIXEL)
    call("report", f"kept/{record.stem}.json", "--out=pages", "--quiet")
    assert "No images: its weights are gone." in (runs.parent / "pages" / f"{record.stem}.html").read_text()


def test_images_of_real_patients_are_never_kept_beside_a_record(tmp_path):
    frame = pd.DataFrame({"image_id": ["a", "b"], "patient_id": ["p", "p"], "patient": [0, 0]})
    cohort = Cohort("real", frame, np.zeros((2, 32, 32), np.uint8), (), "f" * 64)
    keep_examples(cohort, cohort.pixels, tmp_path / "real-0.examples.webp")
    assert not list(tmp_path.iterdir())
    keep_examples(replace(cohort, generated=True), cohort.pixels, tmp_path / "made-0.examples.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["made-0.examples.webp"]


def test_a_title_names_the_options_that_differ_from_the_defaults(tiny_run):
    titles = Titles(Registry())

    def of(name, **options):
        record = tiny_run["records"][1]
        return titles.of(
            record.model_copy(update={"defense": record.defense.model_copy(update={"name": name, "options": options})})
        )

    assert of("gaussian_noise", sigma=0.1) == "gaussian_noise"
    assert of("gaussian_noise", sigma=0.25) == "gaussian_noise sigma=0.25"
    # Of an older version, with an option that is no more.
    assert of("gaussian_noise", sigma=0.1, clip=False) == "gaussian_noise clip=False"
    assert of("not_installed", sigma=0.1, mean=0) == "not_installed sigma=0.1 mean=0"


def test_a_site_and_what_is_refused(call, refused, runs, tmp_path):
    done = call("leaderboard", "kept", "--site=public", "--quiet")
    assert done.stdout == "public/index.html and 4 more pages\n"
    assert not (tmp_path / "leaderboards").exists()
    assert "no such file or folder" in refused("leaderboard", "nowhere", "--site=public")
    assert "exclude each other" in refused("leaderboard", "kept", "--site=public", "--check")
    (tmp_path / "empty").mkdir()
    assert "no record in empty" in refused("leaderboard", "empty", "--site=public")
    assert "no such file or folder" in refused("report", "nowhere.json")
    (tmp_path / "taken").write_text("")
    assert "of this name exists" in refused("report", "kept", "--out=taken")
    assert "of this name exists" in refused("leaderboard", "kept", "--site=taken")


def test_the_command_of_a_page_makes_the_same_record_and_report_writes_its_page(call, runs, tiny_run, tmp_path):
    record = next(r for r in tiny_run["records"] if r.defense.kind != "none")
    command = shlex.split(repeat_command(record))[1:]
    more = ("--plugins-dir", str(tiny_run["plugins"]), "--out=kept", "--report", "--json", "--quiet")
    before = set(runs.iterdir())
    done = call(*command, *more)
    # The same id: it is read, not judged again.
    assert record.id in {made["id"] for made in json.loads(done.stdout)}
    assert done.stderr == ""
    new = {path.name for path in set(runs.iterdir()) - before}
    assert {f"{record.stem}.html", "static"} < new
    assert not [name for name in new if name.endswith(".json")]


def test_submit_check_tells_by_its_exit_code(call, runs, tiny_run, tmp_path):
    assert call("submit", "check", "kept", "--quiet").stdout.count("agree with the scores") == 3
    path = runs / f"{tiny_run['records'][1].stem}.json"
    data = full_json(path)
    data["attacks"][0]["metrics"]["auc"][0] -= 0.1
    path.write_text(json.dumps(data))
    refused = call("submit", "check", str(path), "--quiet", check=1)
    assert "attacks[0].metrics.auc.value: the record says" in refused.stdout
    (found,) = json.loads(call("submit", "check", str(path), "--json", "--quiet", check=1).stdout)
    assert (found["accepted"], [m["field"] for m in found["mismatches"]]) == (False, ["attacks[0].metrics.auc.value"])
    data["attacks"][0]["metrics"]["auc"][0] = "high"
    path.write_text(json.dumps(data))
    assert "not checked: no reidbench record" in call("submit", "check", str(path), "--quiet", check=2).stdout
    assert "no such file" in call("submit", "check", "nowhere", check=2).stderr


def test_submit_check_goes_on_after_a_record_without_scores(call, runs, tiny_run):
    (runs / f"{tiny_run['records'][0].stem}{SUFFIX}").unlink()
    lines = call("submit", "check", "kept", "--quiet", check=2).stdout.splitlines()
    assert [("agree with" in line, "not checked" in line) for line in lines[:3]].count((True, False)) == 2
    assert lines[-1] == "records: 2 agree, 0 refused, 1 not checked"
    found = json.loads(call("submit", "check", "kept", "--json", "--quiet", check=2).stdout)
    assert sorted(one["status"] for one in found) == ["agrees", "agrees", "not checked"]
    path = runs / f"{tiny_run['records'][1].stem}.json"
    data = json.loads(path.read_text())
    data["complete"] = not data["complete"]
    path.write_text(json.dumps(data))
    refused = call("submit", "check", "kept", "--quiet", check=1).stdout.splitlines()
    assert refused[-1] == "records: 1 agree, 1 refused, 1 not checked"


@pytest.mark.parametrize("place", ["", ".", "/", "/proc/foo", "taken/page.md", "folder", "o" * 300])
def test_a_summary_that_cannot_be_written_is_one_line_and_leaves_nothing(refused, runs, tmp_path, monkeypatch, place):
    # What is written does not matter, and these records are too small to be compared.
    monkeypatch.setattr("reidbench.report.figures.paired.compare.compare", lambda *places, **options: [])
    monkeypatch.setattr("reidbench.report.text.compare_page.as_markdown", lambda comparisons: "a page")
    (tmp_path / "taken").write_text("")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    line = refused("compare", "kept", "kept", f"--markdown={place}")
    wrong = "cannot be written" if Path(place).name else "give the name of a file" if place else "--markdown is empty"
    assert wrong in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["/proc/foo", "taken", "taken/below"])
def test_leaderboards_that_cannot_be_written_are_one_line(refused, runs, tmp_path, place):
    (tmp_path / "taken").write_text("")
    assert "cannot be written" in refused("leaderboard", "kept", f"--out={place}", "--quiet")


def test_a_page_whose_name_a_folder_has_leaves_no_temporary_file(refused, runs, tmp_path):
    (tmp_path / "pages" / "phantom.md").mkdir(parents=True)
    told = refused("leaderboard", "kept", "--out=pages", "--quiet")
    assert "pages/phantom.md: a file that is not a leaderboard has this name" in told
    assert not list((tmp_path / "pages").glob(".*"))
