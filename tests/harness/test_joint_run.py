"""An attacker that scores pairs jointly, through a whole run beside one that compares vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from reidbench import PairAttacker, Training
from reidbench.progress import Silent
from reidbench.records.parts.training import TrainingInfo
from reidbench.steps.attackers import Trained
from reidbench.steps.cache import StepCache

# Every block of pairs that is scored leaves a line, so that a test tells computed scores from those of the cache.
PLUGIN = """
import numpy as np
from pathlib import Path
from reidbench import PairAttacker, Training, hookimpl

class Overlay(PairAttacker):
    "Compares two images at their best shift along the rows; it learns nothing."
    name = "overlay"
    presets = {"quick": {}, "standard": {}}

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def score_pairs(self, probe, gallery):
        with (Path(__file__).parent / "scored.txt").open("a") as log:
            log.write(f"{len(probe)}\\n")
        a, b = probe.astype(np.float32), gallery.astype(np.float32)
        return -np.min([np.abs(a - np.roll(b, d, axis=2)).mean(axis=(1, 2)) for d in (-1, 0, 1)], axis=0)

    def save(self, path):
        path.write_text("")

    def load(self, path, *, device):
        path.read_text()

@hookimpl
def reidbench_attackers():
    return [Overlay]
"""
FEW = {
    "bootstrap_runs": "20",
    "retrieval.epochs": "0.01",
    "retrieval.batch_size": "8",
    **{f"retrieval.{name}": "2" for name in ("min_steps", "max_steps", "warm_min_steps", "warm_max_steps")},
    **{f"{owner}.{name}": "2" for owner in ("classifier", "restorer") for name in ("min_steps", "max_steps")},
    "restorer.width": "4",
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Makes the run again and again, in one cache; gives the records, and how many calls of score_pairs it took."""
    from reidbench.choosing import choose_dataset, choose_defenses
    from reidbench.harness.run import run
    from reidbench.plugins import Registry
    from reidbench.settings import make_settings

    folder = tmp_path_factory.mktemp("joint")
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "overlay.py").write_text(PLUGIN)
    log = plugins / "scored.txt"

    def once(out: str):
        registry = Registry([plugins])
        settings = make_settings(
            registry, preset="quick", device=torch.device("cpu"), cache=folder / "cache",
            attackers=("overlay", "retrieval"), overrides=FEW, size=32, command="reidbench run",
        )  # fmt: skip
        log.write_text("")
        records = run(
            choose_dataset(registry, "phantom:patients=60", None),
            choose_defenses(registry, ["gaussian_noise:sigma=0.1"]),
            settings, seeds=[0], out=folder / out, strict=False, progress=Silent(), done=lambda record, path: None,
        )  # fmt: skip
        return records, len(log.read_text().splitlines())

    return once, folder


@pytest.mark.slow
def test_a_joint_attacker_is_on_every_rung_and_in_the_fusion_and_a_second_run_scores_no_pair(attacked):
    once, folder = attacked
    records, calls = once("first")
    assert calls > 0
    assert len(records) == 2
    for record in records:
        ladder = {(attack.knowledge, attack.linkage, attack.attacker) for attack in record.attacks}
        by_name = {
            name: {place[:2] for place in ladder if place[2] == name} for name in ("overlay", "retrieval", "fusion")
        }
        assert by_name["overlay"] == by_name["retrieval"] == by_name["fusion"]
        assert len(by_name["overlay"]) >= 2
    defended = max(records, key=lambda record: len({attack.knowledge for attack in record.attacks}))
    assert len({attack.knowledge for attack in defended.attacks}) == 3

    again, calls = once("second")
    assert calls == 0, "the second run reads all scores from the cache"
    assert [record.attacks for record in again] == [record.attacks for record in records]
    assert all(json.loads(path.read_text()) for path in (folder / "second").glob("*.json"))


calls: list[int] = []


class Counting(PairAttacker):
    """Minus the mean difference; counts its calls."""

    name = "counting"
    pairs_at_once = 10

    def fit(self, train, val, **where):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def score_pairs(self, probe, gallery):
        calls.append(len(probe))
        return -np.abs(probe.astype(np.float32) - gallery).mean(axis=(1, 2))

    def save(self, path):
        path.write_text("")

    def load(self, path, *, device):
        path.read_text()


def test_scores_of_pairs_are_kept_by_attacker_and_images(tmp_path):
    calls.clear()
    cache = StepCache(tmp_path / "cache")
    training = cache.run("attacker", {"seed": 0}, lambda folder: None)
    other = cache.run("attacker", {"seed": 1}, lambda folder: None)
    info = TrainingInfo(
        epochs=0, images_seen=0, seconds=0.0, learned=True, checkpoint_sha256="0", warm_start=False, history=[]
    )
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    a, b = np.arange(11), np.arange(1, 12)
    trained = Trained(Counting(), training, info, cache)

    first = trained.score(images, images, a, b), trained.score_block(images[:3], images)
    np.testing.assert_array_equal(first[1][a[:3], b[:3]], first[0][:3])
    scored = len(calls)
    assert scored == 2 + 4, "11 pairs and 36, ten at a time"
    second = trained.score(images, images, a, b), trained.score_block(images[:3], images)
    assert len(calls) == scored
    for one, another in zip(first, second):
        np.testing.assert_array_equal(one, another)

    trained.score(images, 255 - images, a, b)
    trained.score(images, images, b, a)
    Trained(Counting(), other, info, cache).score(images, images, a, b)
    assert len(calls) == scored + 3 * 2, "other images, other pairs and another training are scored"
    Trained(Counting(), training, info).score(images, images, a, b)
    assert len(calls) == scored + 4 * 2, "without a cache nothing is kept"
