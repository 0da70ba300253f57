"""`reidbench audit --bands`: identity is found in the part of the images where a test has put it, and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from reidbench.cohorts.pixels.image_parts import Region, octaves

SIZE, IMAGES = 32, 4
SPLITS = {"train": 60, "val": 10, "test": 20}
# Fitted in a second: it needs nothing but pixels in which patients differ.
FAST = ("--attacker=plda", f"--size={SIZE}", "--set=bootstrap_runs=50", "--set=plda.dimensions=32", "--attackers=none")


def write_cohort(folder, part):
    """Images of noise that differs in every image, and of a pattern in ``part`` alone that a patient's images share."""
    rng = np.random.default_rng(7)
    folder.mkdir()
    rows = ["path,patient_id,split,view"]
    for split, patients in SPLITS.items():
        for patient in range(patients):
            pattern = part.of(rng.normal(size=(1, SIZE, SIZE)))[0]
            for image in range(IMAGES):
                grey = 128 + 20 * pattern / pattern.std() + rng.normal(size=(SIZE, SIZE)) * 20
                name = f"{split}{patient}_{image}.png"
                Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8)).save(folder / name)
                rows.append(f"{name},{split}{patient},{split},PA")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("part", "name"),
    [(octaves(SIZE)[1], "4 to 8 cycles"), (Region(border=True), "border")],
    ids=["band", "border"],
)
def test_identity_is_found_where_it_is_and_nowhere_else(call, tmp_path, part, name):
    write_cohort(tmp_path / "cohort", part)
    done = call("audit", "--bands", "--dataset=folder", "--root=cohort", *FAST, "--json", "--quiet")
    told = json.loads(done.stdout)["bands"]
    assert told["attacker"] == "plda"
    assert (told["patients"], told["images"], told["trained"]) == (20, 80, 60)
    kind = "region" if isinstance(part, Region) else "band"
    parts = {one["name"]: one for one in told["parts"] if one["kind"] == kind}
    assert told["whole"]["map_at_r"]["value"] > 0.8
    for other, judged in parts.items():
        where, elsewhere = ("alone", "without") if other == name else ("without", "alone")
        assert judged[where]["map_at_r"]["value"] > 0.8, other
        assert judged[where]["auc"][0]["value"] > 0.95, other
        assert judged[elsewhere]["map_at_r"]["value"] < 0.2, other
        assert 0.35 < judged[elsewhere]["auc"][0]["value"] < 0.65, other
    assert sum(one["variance"] for one in parts.values()) == pytest.approx(1.0)
    # The page says the same, beside a plot.
    page = (tmp_path / "audit" / "audit.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    assert f"| {parts[name]['alone']['map_at_r']['value']:.3f} [" in row
    assert "![" in page
    plot = (tmp_path / "audit" / "bands.svg").read_text()
    assert all(f">{one}</text>" in plot for one in parts)
    assert plot.count('<circle class="alone"') == 2 * len(told["parts"]) + 1


def test_parts_are_steps_of_the_cache_and_folds_judge_everybody(call, tmp_path):
    tiny = (
        *("--dataset=phantom:patients=24", "--size=32", "--attacker=retrieval", "--set=bootstrap_runs=50"),
        *("--set=retrieval.batch_size=16", "--set=retrieval.epochs=1", "--set=retrieval.min_steps=2"),
        *("--set=retrieval.warm_epochs=0.1", "--set=retrieval.warm_min_steps=2", "--set=retrieval.max_steps=2"),
    )
    first = call("audit", "--bands", "--folds=2", *tiny, "--json")
    told = json.loads(first.stdout)
    assert told["bands"]["judged"] == ["fold 1 of 2", "fold 2 of 2"]
    assert told["bands"]["patients"] == 24
    assert all(len(one["alone"]["auc"]) == len(one["without"]["gains"]) == 2 for one in told["bands"]["parts"])
    steps = tmp_path / "cache" / "steps"
    # The whole image, five bands alone and without, border and centre; each alone is the other one taken away.
    variants = 1 + 2 * 5 + 2
    assert len(list((steps / "part").glob("*/pixels.npy"))) == 2 * 3 * variants
    assert len(list((steps / "attacker").glob("*/weights.safetensors"))) == 2 * (variants + 1)
    made = {path: path.stat().st_mtime_ns for path in steps.glob("*/*/*")}
    again = call("audit", "--bands", "--folds=2", *tiny, "--json")
    assert "parts of the images" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in steps.glob("*/*/*")} == made, "everything is in the cache"
    assert json.loads(again.stdout)["bands"] == told["bands"]
    by_name = {one["name"]: one for one in told["bands"]["parts"]}
    assert by_name["border"]["alone"] == by_name["centre"]["without"]


def test_an_audit_without_the_option_says_nothing_of_parts(call, tmp_path):
    write_cohort(tmp_path / "cohort", Region(border=True))
    done = call("audit", "--dataset=folder", "--root=cohort", *FAST, "--json", "--quiet")
    assert json.loads(done.stdout)["bands"] is None
    assert "carries identity" not in (tmp_path / "audit" / "audit.md").read_text()
    assert not (tmp_path / "audit" / "bands.svg").exists()


def test_without_patients_to_train_on_parts_are_refused(refused, tmp_path):
    write_cohort(tmp_path / "cohort", Region(border=True))
    manifest = tmp_path / "cohort" / "manifest.csv"
    for split in ("train", "val"):
        manifest.write_text(manifest.read_text().replace(f",{split},", ",test,"))
    only_test = ("audit", "--bands", "--dataset=folder", "--root=cohort", f"--size={SIZE}")
    assert "the train split has no image" in refused(*only_test, "--attackers=none")
    lines = manifest.read_text().splitlines()
    # One training patient with two images has nobody to be told from.
    manifest.write_text("\n".join(lines).replace("train0,test", "train0,train") + "\n")
    error = refused(*only_test, "--attackers=none", "--attacker=plda", "--set=plda.dimensions=8")
    assert "no training patient" in error
    assert "--folds 2" in error
    assert not (tmp_path / "audit").exists()


def test_a_release_has_no_parts(refused, tmp_path):
    error = refused("audit", "--bands", "--released=release", "--key=key")
    assert error.startswith("reidbench: error: --bands: ")
