"""`reidbench audit`: a row a patient, whose figures add up to the summary's."""

from __future__ import annotations

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest

# A training of four batches: every step is real, and nobody learns much.
TINY = (
    "--dataset=phantom:patients=40",
    "--size=32",
    "--set=bootstrap_runs=50",
    *(f"--set={a}.{o}" for a in ("verification", "retrieval") for o in (
        "batch_size=32", "epochs=1", "min_steps=4", "max_steps=4",
    )),
)  # fmt: skip


def _image_average(table: pd.DataFrame, column: str) -> float:
    return float(np.average(table[column], weights=table["images"]))


def _agrees(table: pd.DataFrame, data: dict, attackers: list[str]) -> None:
    """The record's averages over images and patients, from the patients' rows."""
    asked = table.dropna(subset="ap_at_r")
    assert data["patients"] == len(table)
    assert data["patients_with_several_images"] == len(asked) == (table["images"] > 1).sum()
    for name in attackers:
        figures = data["attackers"][name]["retrieval"]
        assert _image_average(asked, f"{name}.ap_at_r") == pytest.approx(figures["map_at_r"]["value"], rel=1e-4)
        assert asked[f"{name}.ap_at_r"].mean() == pytest.approx(figures["map_at_r_patients"]["value"], rel=1e-4)
        at_1 = _image_average(asked, f"{name}.found_at_rank_1")
        assert at_1 == pytest.approx(figures["precision_at_1"]["value"], rel=1e-4)
        every = asked[f"{name}.found_by_every_image"].mean()
        assert every == pytest.approx(figures["risk"]["found_by_every_image"]["value"], rel=1e-4)
    strongest = max(attackers, key=lambda name: data["attackers"][name]["retrieval"]["map_at_r_patients"]["value"])
    assert set(table["attacker"]) == {data["strongest"]} == {strongest}
    assert asked["ap_at_r"].equals(asked[f"{strongest}.ap_at_r"])


def test_an_audit_says_of_each_test_patient_what_the_summary_says_of_all(call, tmp_path):
    done = call("audit", *TINY, "--json", "--quiet")
    data = json.loads(done.stdout)
    table = pd.read_csv(tmp_path / "audit" / "patients.csv")
    _agrees(table, data, ["verification", "retrieval", "fusion", "reranking"])
    judged = data["judged"][0]
    assert set(table["judged_in"]) == {"test split"}
    assert len(table) == table["patient_id"].nunique() == judged["patients"]["test"]
    assert table["images"].sum() == judged["images"]["test"]
    risk = list(zip(-table["found_by_every_image"].fillna(-1), -table["ap_at_r"].fillna(-1)))
    assert risk == sorted(risk)
    assert "test split only" in data["notes"][0]
    assert set(data["controls"][0]["pixels_auc"]) == {"random", "matched"}
    page = (tmp_path / "audit" / "audit.md").read_text()
    assert "test split only" in page
    assert f"| mAP@R, by image | {data['attackers']['verification']['retrieval']['map_at_r']['value']:.3f} [" in page
    # The summary may be shown around; only the table tells who.
    assert not any(patient in page + done.stdout for patient in table["patient_id"])
    # What is trained is cached: a run would take it from there.
    assert len(list((tmp_path / "cache" / "steps" / "attacker").glob("*/weights.safetensors"))) == 2


def test_folds_judge_every_patient_once_by_attackers_who_never_saw_them(call, tmp_path):
    done = call("audit", *TINY, "--folds=2", "--attacker=retrieval", "--json", "--quiet", *["--out=all"], check=2)
    assert "no such setting" in done.stderr  # an override of an attacker that isn't asked for
    mine = [argument for argument in TINY if not argument.startswith("--set=verification")]
    data = json.loads(call("audit", *mine, "--folds=2", "--attacker=retrieval", "--json", "--quiet").stdout)
    table = pd.read_csv(StringIO((tmp_path / "audit" / "patients.csv").read_text()))
    _agrees(table, data, list(data["attackers"]))
    assert len(table) == table["patient_id"].nunique() == 40
    sizes = table.groupby("judged_in")["patient_id"].size()
    assert sorted(sizes.index) == ["fold 1 of 2", "fold 2 of 2"]
    for name, judged in zip(sizes.index, data["judged"]):
        assert judged["patients"]["test"] == sizes[name]
        assert sum(judged["patients"].values()) == 40
    assert data["judged"][0]["revision"] != data["judged"][1]["revision"]
    assert len(list((tmp_path / "cache" / "steps" / "attacker").glob("*/weights.safetensors"))) == 2
    assert "own fold only" in data["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--folds=1"], "--folds 1: at least 2"),
        (["--folds=25", "--dataset=phantom:patients=10"], "of 25: "),
        (["--dataset=fantom"], "did you mean 'phantom'?"),
        (["--preset=quik"], "did you mean 'quick'?"),
        (["--out=taken"], "of this name exists"),
        (["--set=retrieval.epoch=3"], "did you mean 'epochs'?"),
    ],
)
def test_what_an_audit_refuses(refused, tmp_path, arguments, what):
    (tmp_path / "taken").write_text("")
    assert what in refused("audit", *arguments, "--size=16")
    assert not (tmp_path / "audit").exists()
