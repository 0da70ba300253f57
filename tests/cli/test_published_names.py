"""Nothing that a run publishes contains a name or a path of its input."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidbench.cli import main
from reidbench.records.store import read_record

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[1] / "third_party" / "example" / "reidbench_example.py"
#: In the name of the folder, of every file, of the table, of the list of pairs and of every patient.
NAME = "mueller"
LITTLE = [f"--set=classifier.{name}=2" for name in ("min_steps", "max_steps")] + ["--set=bootstrap_runs=20"]


def input_folder(folder: Path) -> Path:
    """Twelve patients with three images each, one of which cannot be decoded, one of both sexes, one pair of copies."""
    root = folder / f"{NAME}_ward"
    root.mkdir()
    rows = ["path,patient_id,sex,split,Mass"]
    rng = np.random.default_rng(0)
    for patient in range(12):
        for number in range(3):
            name = f"{NAME}_1950-03-02_{patient}_{number}.png"
            Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(root / name)
            sex = "M" if patient == 3 and number else f"{NAME}_sex" if patient == 4 else "F"
            rows.append(f"{name},{NAME}_{patient},{sex},{'train' if patient < 6 else 'test'},{(patient + number) % 2}")
    (root / f"{NAME}_1950-03-02_7_0.png").write_bytes(b"")
    shutil.copy(root / f"{NAME}_1950-03-02_8_0.png", root / f"{NAME}_1950-03-02_8_1.png")
    (root / f"{NAME}_table.csv").write_text("\n".join(rows))
    pairs = ["8_0\t8_2\t1", "9_0\t9_1\t1", "9_0\t8_0\t0", "9_1\t7_1\t0", "9_1\t99_9\t0"]
    name = f"{NAME}_1950-03-02_"
    (folder / f"{NAME}_pairs.txt").write_text(
        "\n".join("\t".join([*(f"{name}{image}.png" for image in pair.split("\t")[:2]), pair[-1]]) for pair in pairs)
    )
    return root


def texts_of(path: Path) -> bytes:
    """The bytes of a file; of an archive those of its members and their names."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with all that two runs, a sweep and the pages of their records publish; and the run's standard error."""
    folder = tmp_path_factory.mktemp("published")
    root = input_folder(folder)
    plugins = folder / f"{NAME}_plugins"
    plugins.mkdir()
    shutil.copy(EXAMPLE, plugins)
    shared = [
        f"--dataset=folder:manifest={NAME}_table.csv",
        f"--root={root}",
        f"--plugins-dir={plugins}",
        "--size=32",
        "--attacker=example_pixels",
        "--rung=ignorant/original-released",
        *LITTLE,
    ]
    out = folder / f"{NAME}_out"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REIDBENCH_CACHE", str(folder / f"{NAME}_cache"))

        def call(*arguments: str) -> None:
            patch.setattr(sys, "argv", ["reidbench", *arguments])
            with pytest.raises(SystemExit) as stop:
                main()
            assert not stop.value.code
            import time

            print(arguments[0], time.time(), time.process_time())

        call("run", "--defense=gaussian_noise:sigma=0.2", *shared, f"--out={out}", "--report")
        call("run", "--defense=identity", *shared, f"--pairs={NAME}_pairs.txt", f"--out={out}", "--seed=1")
        call("sweep", "example_fade:strength=0.3", *shared, f"--out={out}")
        call("leaderboard", str(out), f"--out={out / 'pages'}")
        call("leaderboard", str(out), f"--site={out / 'site'}")
    return {"out": out, "cache": folder / f"{NAME}_cache"}


def test_no_name_or_path_of_the_input_is_published(published):
    files = [path for path in published["out"].rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".npz", ".md", ".csv", ".html"}
    for path in files:
        where = path.relative_to(published["out"])
        assert NAME not in str(where).lower()
        if path.name.startswith("plotly"):
            continue
        content = texts_of(path).lower()
        assert NAME.encode() not in content, where
        assert str(published["out"].parent).encode().lower() not in content, where


def test_notes_count_what_they_do_not_name(published):
    notes = {note for path in published["out"].glob("*.json") for note in read_record(path).dataset.notes}
    told = "\n".join(sorted(notes))
    for what in (
        "1 of 36 images cannot be read and are left out",
        "1 patients have images of both sexes",
        "sex: 3 values are not understood",
        "1 genuine pairs are the same picture under two names",
        "the list of pairs: 1 of 5 pairs name images that are not there (1 names) and are left out",
    ):
        assert what in told


def test_commands_have_placeholders_for_paths(published):
    records = [read_record(path) for path in sorted(published["out"].glob("*.json"))]
    commands = {record.command for record in records}
    print(commands)
    assert any("--dataset folder:manifest=FILE --root FOLDER" in command for command in commands)
    assert any("--pairs FILE" in command for command in commands)
    assert all("--plugins-dir FOLDER" in command and "--out FOLDER" in command for command in commands)
    assert all("--rung ignorant/original-released" in command for command in commands)


def test_scores_of_real_patients_contain_no_findings(published):
    for path in published["out"].glob("*.scores.npz"):
        with np.load(path) as stored:
            assert not [
                name for name in stored.files if name.startswith(("findings", "labels", "predictions", "undefended"))
            ]
    record = next(record for path in published["out"].glob("*.json") if (record := read_record(path)).utility)
    assert record.utility.classifiers, "the record has the figures"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_can_read_the_cache(published):
    folders = [published["cache"], *(path for path in published["cache"].iterdir() if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}


def test_scores_without_findings_can_be_checked_and_the_utility_is_on_trust(published, capsys, monkeypatch):
    path = next(path for path in sorted(published["out"].glob("gaussian_noise-*.json")) if path.suffix == ".json")
    monkeypatch.setattr(sys, "argv", ["reidbench", "submit", "check", str(path), "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    (found,) = json.loads(capsys.readouterr().out)
    assert found["accepted"]
    assert "utility" in found["on_trust"]
