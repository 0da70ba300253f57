"""`reidbench overlap`: planted patients come first, and false ones come as often as is said."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidbench.cohorts.sources.phantom import Phantom

A, B = "phantom:patients=24,visits=even", "phantom:patients=24,first_patient=14,prefix=q,visits=odd"
TINY = (
    "--size=32",
    *(f"--set=retrieval.{o}" for o in ("batch_size=32", "epochs=1", "min_steps=30", "max_steps=30")),
)
# Nothing to train: every figure can be computed again from the pixels.
PIXELS = """
import numpy as np
from reidbench import Attacker, Training, hookimpl

class Grey(Attacker):
    "Compares the mean grey of a few columns."
    name = "grey"
    presets = {"quick": {}}

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=1, images_seen=9, seconds=0.0, learned=True, history=[], kept_start=False)

    def embed(self, images, *, device):
        return images.mean(axis=1, dtype=np.float32)[:, ::8]

    def score(self, a, b):
        return -np.abs(a - b).max(axis=1)

    def score_block(self, probes, gallery):
        return -np.abs(probes[:, None] - gallery[None]).max(axis=2)

    def save(self, path):
        path.write_text("")

    def load(self, path, *, device):
        path.read_text()

@hookimpl
def reidbench_attackers():
    return [Grey]
"""


@pytest.fixture
def grey(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "grey.py").write_text(PIXELS)
    return ("--attacker=grey", "--plugins-dir=plugins", "--size=32", "--json", "--quiet")


def test_planted_patients_come_first_and_others_as_often_as_is_said(call, tmp_path):
    there = Phantom(patients=24, first_patient=14, prefix="q", visits="odd").source().frame["patient_id"].unique()
    planted = [(f"p{name[1:]}", name) for name in there if int(name[1:]) < 24]
    pd.DataFrame(planted, columns=["patient_a", "patient_b"]).to_csv(tmp_path / "known.csv", index=False)
    data = json.loads(call("overlap", A, B, *TINY, "--known=known.csv", "--json", "--quiet").stdout)
    table = pd.read_csv(tmp_path / "overlap" / "candidates.csv")
    pairs = list(zip(table["patient_a"], table["patient_b"]))
    ranks = np.array([pairs.index(pair) for pair in planted])
    assert len(planted) >= 6
    # Thirty batches teach little; by chance a planted pair stands in the middle, and one in fifty of the first ten.
    assert ranks.mean() < 0.35 * len(pairs)
    assert (ranks < 10).sum() >= 2
    for told in data["known"]:
        chosen = [pair for pair, q in zip(pairs, table["q_value"]) if q <= told["q_value"]]
        assert (told["candidates"], told["known"]) == (len(chosen), len(planted))
        assert told["right"] == len(set(chosen) & set(planted))
    # Nobody of a third cohort is in the first: then all candidates are false, as many as expected at each score.
    stranger = "phantom:patients=24,first_patient=500,prefix=r,visits=odd"
    call("overlap", A, stranger, *TINY, "--json", "--quiet", "--out=strangers")
    table = pd.read_csv(tmp_path / "strangers" / "candidates.csv")
    ratio = (table["expected_false"] / table["rank"])[len(table) // 10 :]
    assert ratio.between(0.5, 2).all()
    assert (table["q_value"] > 0.2).all()


def test_every_figure_of_a_candidate_is_computed_again(call, tmp_path, grey):
    data = json.loads(call("overlap", A, B, *grey).stdout)
    table = pd.read_csv(tmp_path / "overlap" / "candidates.csv")
    phantoms = Phantom(patients=24, visits="even"), Phantom(patients=24, first_patient=14, prefix="q", visits="odd")
    frames = [phantom.source().frame for phantom in phantoms]
    vectors = [p.read(f, 32).mean(axis=1, dtype=np.float32)[:, ::8] for p, f in zip(phantoms, frames)]

    def scores(left, i, right, j):
        a, b = (vectors[s][(frames[s]["patient_id"] == name).to_numpy()] for s, name in ((left, i), (right, j)))
        return -np.abs(a[:, None] - b[None]).max(axis=2)

    names = [frame["patient_id"].unique() for frame in frames]
    assert len(table) == data["compared"] == len(names[0]) * len(names[1])
    assert not table.duplicated(["patient_a", "patient_b"]).any()
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    assert table["score"].is_monotonic_decreasing
    assert table["q_value"].is_monotonic_increasing
    for row in table.iloc[::97].itertuples():
        mine = scores(0, row.patient_a, 1, row.patient_b)
        assert mine.shape == (row.images_a, row.images_b)
        assert (mine.max(), mine.mean()) == pytest.approx((row.score, row.mean_score), rel=1e-4)
        best = [
            vectors[s][(frames[s]["image_id"] == name).to_numpy()] for s, name in enumerate((row.image_a, row.image_b))
        ]
        assert -np.abs(best[0] - best[1]).max() == pytest.approx(row.score, rel=1e-4)
        assert (row.image_a[:6], row.image_b[:6]) == (row.patient_a, row.patient_b)
    # Impostors: two patients of a dataset, unless the attacker learned on both.
    assert (table["known_above"] <= data["impostors"]).all()
    for cut, above in data["known_above"].items():
        chosen = table.loc[table["q_value"] <= float(cut), "known_above"]
        assert above == (chosen.iloc[-1] if len(chosen) else None)
    for row in table.iloc[[0, 40, 333]].itertuples():
        assert row.known_above == sum(
            scores(side, i, side, j).max() >= row.score
            for side in (0, 1)
            for i, j in combinations(names[side], 2)
            if side or not {i, j} <= set(frames[0].loc[frames[0]["split"] == "train", "patient_id"])
        )
    trained = set(frames[0].loc[frames[0]["split"] == "train", "patient_id"])
    assert set(table.loc[table["trained_on"], "patient_a"]) == trained
    within = len(names[0]) * (len(names[0]) - 1) - len(trained) * (len(trained) - 1)
    assert data["impostors"] == (within + len(names[1]) * (len(names[1]) - 1)) // 2
    assert Image.open(tmp_path / "overlap" / "candidates.png").size == (1016, 792)
    assert f"{data['compared']:,} patient pairs" in (tmp_path / "overlap" / "overlap.md").read_text()


@pytest.mark.parametrize(("before", "after"), [("images_seen=9", "images_seen=0"), ("start=False", "start=True")])
def test_of_a_training_that_kept_its_start_all_impostor_pairs_count(call, tmp_path, grey, before, after):
    (tmp_path / "plugins" / "grey.py").write_text(PIXELS.replace(before, after))
    data = json.loads(call("overlap", A, B, *grey).stdout)
    assert not pd.read_csv(tmp_path / "overlap" / "candidates.csv")["trained_on"].any()
    a, b = data["a"]["patients"], data["b"]["patients"]
    assert data["impostors"] == (a * (a - 1) + b * (b - 1)) // 2


def test_a_third_dataset_to_learn_on_and_fewer_candidates(call, tmp_path, grey):
    third = "phantom:patients=20,first_patient=90,prefix=t"
    data = json.loads(call("overlap", A, B, f"--train-on={third}", "--top=7", *grey).stdout)
    table = pd.read_csv(tmp_path / "overlap" / "candidates.csv")
    assert len(table) == 7
    assert not table["trained_on"].any()
    a, b = data["a"]["patients"], data["b"]["patients"]
    assert data["impostors"] == (a * (a - 1) + b * (b - 1)) // 2
    printed = call("overlap", A, B, f"--train-on={third}", *[x for x in grey if x != "--json"]).stdout
    assert max(map(len, printed.splitlines())) <= 100
    assert table["patient_b"][0] in printed


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([A, "fantom"], "did you mean 'phantom'?"),
        ([A, A], "are the same (phantom)"),
        ([A, B, "--root-b=."], "--root-b .: dataset 'phantom' takes no folder"),
        ([A, "folder"], "add --root-b FOLDER"),
        ([A, "folder:root=nowhere"], "nowhere"),
        ([A, B, "--top=0"], "--top 0"),
        ([A, B, "--train-root=."], "--train-on"),
        ([A, B, "--known=nowhere.csv"], "--known nowhere.csv"),
        ([A, B, "--known=other.csv"], "patient_a and patient_b are needed"),
        ([A, B, "--known=stranger.csv"], "patient 'q99999' is not in phantom (B)"),
        ([A, B, "--out=other.csv"], "of this name exists"),
        ([A, B, "--attacker=retreival"], "did you mean 'retrieval'?"),
    ],
)
def test_what_a_search_refuses(refused, tmp_path, arguments, what):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "stranger.csv").write_text("patient_a,patient_b\np00001,q99999\n")
    assert what in refused("overlap", *arguments, "--size=16")
    assert not (tmp_path / "overlap").exists()
