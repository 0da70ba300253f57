"""An audit of a release: an attack on exactly the certified files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from releases import expected, folder, made

from reidbench.choosing import choose_defenses
from reidbench.cohorts.load import load_cohort
from reidbench.errors import ReidbenchError
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.store import read_record
from reidbench.steps.cache import StepCache
from reidbench.studies.release import FIT_SEED
from reidbench.studies.release_key import files_digest, read_key
from reidbench.studies.released import ReleasedFiles, require_certified


def test_an_audit_sees_the_files_and_not_a_run_of_the_mechanism(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "ward", patients=8)
    made(tmp_path, dataset)
    key = read_key(tmp_path / "out.key.json")
    [chosen] = choose_defenses(Registry(()), ["gaussian_noise:sigma=0.1"])
    cohort = load_cohort(dataset, size=16, cache=tmp_path / "cache")
    published = ReleasedFiles(
        tmp_path / "out",
        key,
        files_digest(key, tmp_path / "out"),
        chosen,
        {split: cohort.part(split) for split in ("train", "test")},
        seed=FIT_SEED,
        cache=StepCache(tmp_path / "cache" / "steps", print),
        device=torch.device("cpu"),
        progress=Silent(),
    )
    wanted = expected(tmp_path, dataset, "gaussian_noise:sigma=0.1", key.seed)
    for split in ("train", "test"):
        shown = published.images(split).pixels
        for image, pixels in zip(cohort.part(split).frame["image_id"], shown):
            np.testing.assert_array_equal(pixels, wanted[image])
    # What the attacker trains on are runs of its own: the release's seed is secret.
    assert not np.array_equal(published.images("train", 2).pixels, published.images("train").pixels)


def test_an_audit_of_a_release_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reidbench.cli import main

    monkeypatch.setenv("REIDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["reidbench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    small = ["--dataset=phantom:patients=60", "--device=cpu", "--size=32", "-q"]
    assert command("release", "--defense=blackout", *small, "--out=out") == 0
    little = ["bootstrap_runs=50", "restorer.width=8"]
    little += [f"{owner}.{option}" for owner in ("classifier", "restorer") for option in ("epochs=1", "min_steps=4")]
    options = ["--attacker=plda", *(f"--set={value}" for value in little), "--out=records"]
    audit = ["audit", "--released=out", "--key=out.key.json", *small, *options]
    assert command(*audit) == 0
    [path] = (tmp_path / "records").glob("blackout-*.json")
    aucs = {attack.metrics.auc.value for attack in read_record(path).attacks if attack.task == "verification"}
    assert aucs == {0.5}
    [one, other] = sorted((tmp_path / "out" / "images").iterdir())[:2]
    one.write_bytes(other.read_bytes() + b"x")
    assert command(*audit) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda out: (out / "images" / "extra.png").write_bytes(b"x"), "none of the files", id="image"),
        pytest.param(lambda out: (out / "notes.txt").write_text("x"), "none of the files", id="notes"),
        pytest.param(lambda out: (out / "images" / "sub").mkdir(), "none of the files", id="folder"),
        pytest.param(lambda out: (out / "manifest.csv").open("a").write("x"), "not the manifest of", id="manifest"),
        pytest.param(lambda out: (out / "manifest.csv").unlink(), "the manifest is missing", id="no manifest"),
        pytest.param(lambda out: next((out / "images").iterdir()).unlink(), "image is missing", id="no image"),
        pytest.param(lambda out: (out / "certificate.json").unlink(), "is the release finished", id="no certificate"),
        pytest.param(lambda out: (out / "certificate.json").write_text("{}"), "not the certificate", id="certificate"),
        pytest.param(lambda out: _link(next((out / "images").iterdir())), "a link or a folder", id="link"),
    ],
)
def test_an_audit_refuses_a_folder_that_is_not_the_certified_one(tmp_path: Path, change: Any, reason: str) -> None:
    dataset = folder(tmp_path / "ward")
    made(tmp_path, dataset)
    key = read_key(tmp_path / "out.key.json")
    assert require_certified(key, tmp_path / "out") == files_digest(key, tmp_path / "out")
    change(tmp_path / "out")
    with pytest.raises(ReidbenchError, match=reason):
        require_certified(key, tmp_path / "out")


def _link(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere.png")
    path.symlink_to(path.parents[2] / "elsewhere.png")
