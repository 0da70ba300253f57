"""`reidbench reproduce`: every table and figure, on small copies of everything."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import redirect_stdout
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidbench.cli import main
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.studies.paper import facts
from reidbench.studies.paper.tables import PLANS

pytestmark = pytest.mark.slow

LITTLE = tuple(
    f"--set={name}={value}" for name, value in (("bootstrap_runs", 60), ("TASK.min_steps", 12), ("TASK.max_steps", 12))
)
TRAIN = ("--dataset=phantom:patients=70", "--limit=30", "--seed=1", "--quiet")


def options(what: str) -> list[str]:
    return [*TRAIN, *(option.replace("TASK", PLANS[what].task) for option in LITTLE)]


@pytest.fixture(scope="module")
def covid(tmp_path_factory):
    """The COVID-19 Image Data Collection's layout with twelve noise images of five patients, and a CT slice."""
    root = tmp_path_factory.mktemp("covid")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(root / "images" / f"{number}.png")
        rows.append(
            {
                "patientid": number % 5, "offset": number, "sex": "M", "age": 50, "finding": "COVID-19", "view": "PA",
                "modality": "CT" if number == 11 else "X-ray", "filename": f"{number}.png",
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(root / "metadata.csv", index=False)
    return root


def listed_pairs() -> list[str]:
    """Every genuine pair of neighbouring visits in the phantom's test part, and as many impostors."""
    frame = Phantom(patients=70).source().frame.query("split == 'test'")
    names = frame["image_id"].tolist()
    genuine = [pair for pair in pairwise(names) if pair[0].split("_")[0] == pair[1].split("_")[0]]
    impostor = [(a, names[0]) for a, _ in genuine if a.split("_")[0] != names[0].split("_")[0]]
    return [f"{a}\t{b}\t1" for a, b in genuine] + [f"{a}\t{b}\t0" for a, b in impostor]


def printed(patch, *arguments: str) -> dict:
    """What a command prints as JSON, run in this process."""
    patch.setattr(sys, "argv", ["reidbench", *arguments, "--json"])
    text = io.StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return json.loads(text.getvalue())


@pytest.fixture(scope="module")
def made(covid, tmp_path_factory):
    """Every table and figure as JSON, made in this process with one cache; and the folder they lie in."""
    folder = tmp_path_factory.mktemp("reproduce")
    results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REIDBENCH_CACHE", str(folder / "cache"))
        (folder / "pairs.txt").write_text("\n".join(listed_pairs()))
        for what in PLANS:
            results[what] = printed(patch, "reproduce", what, *options(what), f"--root-covid={covid}")
        results["listed"] = printed(patch, "reproduce", "fig4", *options("fig4"), "--pairs=pairs.txt", "--out=listed")
    return {"folder": folder, **results}


def rows(result) -> dict[str, dict]:
    return {row["label"]: row for row in result["rows"]}


def test_every_page_says_what_share_of_the_data_it_saw_and_by_which_recipe(made):
    for what in PLANS:
        page = (made["folder"] / "reproductions" / f"{what}.md").read_text()
        assert re.search(r"phantom: [\d,]+ images of \d+ patients, out of [\d,]+ images of 70 patients", page)
        assert "Preset `quick`, images of 64², seed 1" in page
        assert "not the paper's recipe" in page
        table = [line for line in page.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in table}) == 1
        assert made[what]["seen"]


def test_table_1_sets_five_published_rows_beside_the_run(made):
    found = rows(made["table1"])
    assert len(found) == 6
    assert found["ChestX-ray14, RNP, 800,000 pairs, 1e-4"]["published"]["auc_all_pairs"] == "0.9940"
    here = found["phantom, 64²"]["here"]
    assert here["auc"]["low"] <= here["auc"]["value"] <= here["auc"]["high"]
    assert 0.5 < here["auc_all_pairs"] <= 1
    assert here["accuracy"] == pytest.approx((here["recall"] + here["specificity"]) / 2)


def test_a_dataset_that_was_never_seen_is_tested_whole_and_one_without_a_copy_is_said_to_be_missing(made):
    for what, count in (("table2", "pairs"), ("table3", "gallery")):
        found = {label.split(",")[0]: row for label, row in rows(made[what]).items()}
        covid = found["COVID-19 Image Data Collection"]
        # 11 X-rays of 5 patients: one with three, four with two.
        assert covid["here"][count] == {"pairs": 14, "gallery": 11}[count]
        assert found["CheXpert"]["here"] is None
        assert found["CheXpert"]["note"] == "no copy of CheXpert was given"
        assert any("11 images of 5 patients" in line for line in made[what]["seen"])


def test_table_3_has_a_row_for_every_published_width_and_one_of_its_own(made):
    labels = [row["label"].split(",")[-1].strip() for row in made["table3"]["rows"]]
    theirs = "64² (theirs: original size)"
    assert labels == ["1024²", "800²", "512²", "224²", "64²", theirs, theirs]
    here = rows(made["table3"])["phantom, 64²"]["here"]
    assert 0 < here["chance"] < here["map_at_r"]["value"] <= 1


def test_foreign_material_divides_the_test_part(made):
    for what, count in (("table2", "pairs"), ("table4", "gallery")):
        parts = [rows(made[what])[name]["here"][count] for name in (facts.WITH, facts.WITHOUT)]
        assert all(part > 0 for part in parts)
    whole = rows(made["table3"])["phantom, 64²"]["here"]["gallery"]
    assert sum(rows(made["table4"])[name]["here"]["gallery"] for name in (facts.WITH, facts.WITHOUT)) == whole


def test_the_figures_are_of_the_same_pairs_as_table_1(made):
    here = rows(made["table1"])["phantom, 64²"]["here"]
    for name, key in (("all pairs", "auc_all_pairs"), ("exchanged pairs", "auc")):
        assert rows(made["fig2"])[f"area under the curve, {name}"]["here"]["value"] == here[key]
    counts = rows(made["fig3"])["threshold 0.5"]["here"]
    assert sum(counts.values()) == here["pairs"]
    assert counts["true_positives"] / (counts["true_positives"] + counts["false_negatives"]) == here["recall"]
    gaps = [row for row in made["fig4"]["rows"] if row["label"].startswith("age gap")]
    assert sum(row["here"]["pairs"] for row in gaps) == here["pairs"] / 2
    assert [row["published"]["at_half"] for row in gaps][::12] == ["0.97", "0.86"]


def test_a_list_of_pairs_takes_the_place_of_built_ones(made):
    listed = [line.split("\t") for line in listed_pairs()]
    gaps = [row["here"]["pairs"] for row in made["listed"]["rows"] if row["label"].startswith("age gap")]
    # The limit keeps all of the phantom's test patients, so every listed pair is there.
    assert sum(gaps) == sum(label == "1" for _, _, label in listed)
    assert made["listed"]["overrides"]["pairs"]


def test_the_plots_need_no_network(made):
    for what in ("fig2", "fig3", "fig4"):
        page = (made["folder"] / "reproductions" / f"{what}.html").read_text()
        assert "Plotly.newPlot" in page
        assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page)
        # Nor do they offer to send anything into one.
        assert '"showSendToCloud": false' in page
    assert '"y":[0.97,0.86]' in (made["folder"] / "reproductions" / "fig4.html").read_text().replace(" ", "")
    assert not (made["folder"] / "reproductions" / "table1.html").exists()


def test_the_maps_are_of_the_attacker_of_the_other_figures(made):
    best, missed, mistaken = made["fig6"]["rows"]
    assert "(one patient)" in best["label"]
    assert "(one patient)" in missed["label"]
    assert "(two patients)" in mistaken["label"]
    assert best["here"]["score"] > missed["here"]["score"]
    assert len({row["here"]["threshold"] for row in made["fig6"]["rows"]}) == 1
    sheet = np.asarray(Image.open(made["folder"] / "reproductions" / "fig6.png"))
    # Three pairs of one view: each image, and under it the maps of two layers, in colour.
    assert sheet.shape[:2] == (6 + 3 * (40 + 166), 12 + 6 * 150)
    coloured = np.ptp(sheet.astype(int), axis=2).max(axis=0) > 0
    columns = [coloured[6 + 150 * column : 6 + 150 * column + 144].any() for column in range(6)]
    assert columns == [False, True, True] * 2
    assert not list((made["folder"] / "reproductions").glob("fig6.html"))


def test_a_training_is_shared_by_all_that_take_it(made):
    trained = list((made["folder"] / "cache" / "steps" / "attacker").glob("*/step.json"))
    assert len(trained) == 2


def test_what_cannot_be_is_refused_in_one_line(refused):
    assert "there is no such table or figure; did you mean 'table1'" in refused("reproduce", "table11")
    assert "needs its folder: add --root FOLDER" in refused("reproduce", "table1")
    assert "at least 2 patients" in refused("reproduce", "table1", *options("table1"), "--limit=1")
    assert "no such setting" in refused("reproduce", "table3", *options("table1"))
