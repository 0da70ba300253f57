"""`reidbench explain`: maps of pairs before and after a defense, as one picture."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.attackers.verification import Verification
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.report.pictures.attention import draw_attention, overlay
from reidbench.studies.explain import Attention, Explained, View, attention

TINY = (
    "--dataset=phantom:patients=40",
    "--size=32",
    *(f"--set=verification.{o}" for o in (
        "batch_size=32", "epochs=1", "min_steps=4", "max_steps=4", "warm_epochs=1", "warm_min_steps=2",
        "warm_max_steps=2",
    )),
    *(f"--set=restorer.{o}" for o in ("width=8", "epochs=1", "min_steps=4", "max_steps=4")),
)  # fmt: skip


def _test_images() -> list[str]:
    frame = Phantom(patients=40).source().frame
    return frame.loc[frame["split"] == "test", "image_id"].tolist()


def test_examples_and_a_named_pair_before_and_after_a_defense(call, tmp_path):
    examples = json.loads(call("explain", "--defense=blackout", *TINY, "--json", "--quiet").stdout)
    recognized, missed, mistaken = examples
    assert [pair["same_patient"] for pair in examples] == [True, True, False]
    for pair in examples:
        assert (pair["image_a"][:6] == pair["image_b"][:6]) == pair["same_patient"]
        assert {pair["image_a"], pair["image_b"]} <= set(_test_images())
        assert len(pair["views"]) == 3
        assert all(len(view["layers"]) == 2 for view in pair["views"])
        assert all(view["accepted"] == (view["score"] >= view["threshold"]) for view in pair["views"])
    assert recognized["views"][0]["score"] > missed["views"][0]["score"]
    # Three pairs of three views, six pictures a view; a black release has nothing to look at.
    sheet = Image.open(tmp_path / "attention.png")
    assert sheet.size == (912, 1620)

    a, b = recognized["image_a"], mistaken["image_b"]
    named = (
        "explain",
        "--defense=identity",
        f"--pair={a},{b}",
        "--ignorant-only",
        *TINY,
        "--quiet",
        "--out=new/one.png",
    )
    (pair,) = json.loads(call(*named, "--json").stdout)
    assert (pair["image_a"], pair["image_b"]) == (a, b)
    # What identity publishes is the original: the same picture and score twice.
    assert pair["views"][0]["score"] == pair["views"][1]["score"]
    page = np.asarray(Image.open(tmp_path / "new" / "one.png"))
    line = 144 + 16 + 6
    first = page[6 + 40 + 16 : 6 + 40 + 16 + 144]
    assert np.array_equal(first, page[6 + 40 + 16 + line : 6 + 40 + 16 + line + 144])
    assert (first.max(axis=2) != first.min(axis=2)).any(), "no map is drawn"
    assert "said to be" in call(*named).stdout


@pytest.mark.parametrize("better", ["the release", "its restoration"])
def test_a_view_says_when_the_attacker_looks_at_the_restored_release(call, monkeypatch, better):
    # Which of both an informed attacker starts from is decided by these.
    aucs = itertools.cycle((0.6, 0.7) if better == "its restoration" else (0.7, 0.6))
    monkeypatch.setattr("reidbench.harness.attacks.metrics", SimpleNamespace(roc_auc=lambda *_: next(aucs)))
    arguments = ("explain", "--defense=gaussian_blur", *TINY, "--json", "--quiet")
    titles = {view["title"] for pair in json.loads(call(*arguments).stdout) for view in pair["views"]}
    restored = {title for title in titles if title.endswith("informed attacker, who looks at the restored release")}
    assert len(titles) == 3
    assert len(restored) == (better == "its restoration")


def test_a_defense_of_many_options_cuts_off_nothing_that_is_said_of_it(tmp_path):
    blank = np.zeros((2, 32, 32), np.uint8)
    maps = {"network.backbone.features.layers.0": np.zeros((2, 32, 32), np.float32)}
    pictures = []
    for published, score in (("one " * 100, -1.0), ("one " * 100, 1.0), ("one", 1.0)):
        view = View(published, "informed attacker", Attention(blank, maps, score), 0.0)
        draw_attention([Explained("as asked", "a", "b", True, (view,))], tmp_path / "page.png")
        pictures.append(np.asarray(Image.open(tmp_path / "page.png").convert("L")))
    assert (pictures[0] != pictures[1]).any(), "the verdict is not on the picture"
    assert all((picture[:, -6:] == 255).all() for picture in pictures), "a text runs over the edge"
    assert (pictures[1] != pictures[2]).any()


@pytest.mark.parametrize(
    "attacker",
    [
        Verification(backbone="resnet_small_4", grid=2, dimensions=8),
        PaperVerification(backbone="resnet_small_4", dimensions=8, size=24),
        PaperRetrieval(backbone="resnet_small_4", dimensions=8),
    ],
    ids=lambda attacker: type(attacker).__name__,
)
def test_the_score_of_a_map_is_the_attackers(attacker):
    attacker.keep(attacker.fresh(0, weights="random"))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    seen = attention(attacker, images, device=torch.device("cpu"))
    vectors = attacker.embed(images, device=torch.device("cpu"))
    assert seen.score == pytest.approx(attacker.score(vectors[:1], vectors[1:])[0], abs=1e-5)
    swapped = attention(attacker, images[::-1].copy(), device=torch.device("cpu"))
    for name, maps in seen.maps.items():
        assert maps.shape == (2, 32, 32)
        assert np.allclose(maps, swapped.maps[name][::-1], atol=1e-6)


def test_a_map_is_drawn_where_it_is_and_an_empty_one_changes_nothing():
    image = np.full((8, 8), 100, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    assert np.array_equal(np.asarray(overlay(image, heat)), np.full((8, 8, 3), 100))
    heat[2, 5] = 0.3
    drawn = np.asarray(overlay(image, heat))
    assert np.argwhere((drawn != 100).any(axis=2)).tolist() == [[2, 5]]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--pair=one"], "two image names"),
        (["--pair=p00001_000,p00001_000"], "no pair"),
        (["--pair=p99999_000,p00001_000"], "has no image 'p99999_000'"),
        (["--pair=p00000_000,p00001_000"], "is in the train split"),
        (["--defense=gaussian_noise:all"], "give one set of options"),
        (["--defense=gausian_noise"], "did you mean 'gaussian_noise'?"),
        (["--attacker=retreival"], "did you mean 'retrieval'?"),
        (["--out=."], "of this name exists"),
    ],
)
def test_what_an_explanation_refuses(refused, tmp_path, arguments, what):
    assert what in refused("explain", *arguments, "--dataset=phantom:patients=10", "--size=16")
    assert not (tmp_path / "attention.png").exists()


def test_an_attacker_without_a_network_has_no_maps(refused, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "none.py").write_text(
        "from reidbench import Attacker, hookimpl\n"
        "class Bare(Attacker):\n    'No network.'\n    name = 'bare'\n    presets = {'quick': {}}\n"
        "    fit = embed = score = score_block = save = load = lambda self: None\n"
        "@hookimpl\ndef reidbench_attackers():\n    return [Bare]\n"
    )
    assert "no siamese network" in refused("explain", "--attacker=bare", "--plugins-dir=plugins", "--size=16")
