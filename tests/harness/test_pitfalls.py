"""Ways to be fooled that only the whole path shows: what is trained on, which draw is judged, how thresholds are set.

docs/methodology.md lists every one, with the tests that guard it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from reidbench import Attacker, Training
from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.experiment import Experiment
from reidbench.harness.run import release_of
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records import figures
from reidbench.records.ladder import Rung
from reidbench.records.parts.provenance import DefenseInfo
from reidbench.settings import make_settings
from reidbench.steps import executors
from reidbench.steps.releases import ATTACKERS_VALIDATION

CPU = torch.device("cpu")


@dataclass
class Witnessed:
    """What an attacker was given to train on: both sides twice, and both sides of validation."""

    probe: np.ndarray
    gallery: np.ndarray
    again: np.ndarray
    held: np.ndarray
    published: np.ndarray
    warm: bool


class Witness(Attacker):
    """Learns nothing, and remembers what it could have learned from."""

    name = "witness"
    seen: ClassVar[list[Witnessed]] = []

    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        def draw(side, number):
            return side(np.arange(8), generator=torch.Generator().manual_seed(number), device=device).numpy()

        self.seen.append(
            Witnessed(
                draw(train.probe, 0), draw(train.gallery, 0), draw(train.gallery, 1), val.probe, val.gallery,
                start is not None,
            )
        )  # fmt: skip
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])

    def embed(self, images, *, device):
        return images.reshape(len(images), -1).astype(np.float32)

    def score(self, a, b):
        return -np.abs(a - b).mean(axis=1)

    def score_block(self, probes, gallery):
        return np.stack([self.score(np.broadcast_to(probe, gallery.shape), gallery) for probe in probes])

    def save(self, path):
        path.write_bytes(b"nothing")

    def load(self, path, *, device):
        assert path.read_bytes() == b"nothing"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    cache = tmp_path_factory.mktemp("pitfalls")
    settings = make_settings(
        Registry(), preset="quick", device=CPU, cache=cache, attackers=("verification",), size=16, command="none",
        # Hardly any restoration: whether it helps is another test's question.
        overrides={"restorer.width": "8", "restorer.min_steps": "2", "restorer.max_steps": "2", "restorer.rank": "0"},
    )  # fmt: skip
    dataset = choose_dataset(Registry(), "phantom:patients=30", None)
    cohort = load_cohort(dataset, size=16, cache=cache, strict=False, progress=Silent())
    return Experiment(cohort, {}, replace(settings, attackers=(Witness(),)), Silent())


@pytest.fixture(scope="module")
def noisy(experiment):
    (chosen,) = choose_defenses(Registry(), ["gaussian_noise:sigma=0.2"])
    return release_of(experiment, chosen)


def test_pitfall_2_the_informed_attacker_trains_in_the_scenario_that_is_tested(experiment, noisy, monkeypatch):
    # The witness remembers in the process that trains it: it must be this one.
    monkeypatch.setattr(executors, "workers", lambda: 1)
    originals = experiment.parts["train"].pixels[:8, None] / np.float32(255)
    val = experiment.parts["val"].pixels
    (template,) = experiment.settings.attackers
    Witness.seen.clear()
    experiment.make_links(template, Rung("ignorant", "original-released"), noisy)
    experiment.make_links(template, Rung("informed", "original-released"), noisy)
    experiment.make_links(template, Rung("informed", "released-released"), noisy)
    ignorant, crossed, released = Witness.seen
    # Ignorant: originals on both sides, in training and in validation.
    for side in (ignorant.probe, ignorant.gallery, ignorant.again):
        np.testing.assert_allclose(side, originals, atol=1e-6)
    assert np.array_equal(ignorant.held, val)
    assert np.array_equal(ignorant.published, val)
    # Informed: what is linked when it is tested, and a new draw of the mechanism each time that it asks.
    np.testing.assert_allclose(crossed.probe, originals, atol=1e-6)
    assert np.array_equal(crossed.held, val)
    for side in (crossed.gallery, crossed.again, released.probe, released.gallery):
        assert np.abs(side - originals).mean() > 0.05
    assert not np.array_equal(crossed.gallery, crossed.again)
    assert not np.array_equal(crossed.published, val)
    assert not np.array_equal(released.held, val)
    assert [seen.warm for seen in Witness.seen] == [False, True, True]


def test_pitfall_4_a_record_has_no_room_for_a_defenses_own_verdict_on_itself():
    known = {"name": "n", "distribution": "d", "version": "1", "kind": "image", "summary": "s", "options": {}}
    DefenseInfo.model_validate(known)
    with pytest.raises(ValidationError, match="critic_auc"):
        DefenseInfo.model_validate({**known, "critic_auc": 0.5})


def test_pitfall_9_the_threshold_knows_nothing_of_the_test_pairs():
    rng = np.random.default_rng(0)
    patients = np.arange(40) // 2
    a, b = np.arange(0, 40, 2), np.arange(1, 41, 2)
    pairs = Pairs(np.concatenate([a, a]), np.concatenate([b, np.roll(b, 2)]), np.repeat([True, False], 20))
    validation = rng.normal(size=400) + np.repeat([2, 0], 200), np.repeat([True, False], 200)

    def judged(scores):
        return figures.verification(
            scores, pairs, patients, probabilities=np.full(40, np.nan), validation=validation, runs=2
        ).calibrated

    easy, hard = judged(10.0 * pairs.same), judged(rng.normal(size=40))
    assert easy.threshold == hard.threshold
    assert np.mean(validation[0][200:] >= easy.threshold) <= 0.01
    # On the test pairs it does what it does: nothing holds the false positives at 1 % there.
    assert judged(np.full(40, 9.0)).specificity == 0


def test_pitfall_10_one_version_of_a_test_image_is_judged_however_often_it_is_asked_for(experiment, noisy):
    first, second = noisy.images("test"), noisy.images("test")
    assert first.digest == second.digest
    assert np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, experiment.parts["test"].pixels)
    # Made once more from nothing, as after a kill: still the same bytes.
    (chosen,) = choose_defenses(Registry(), ["gaussian_noise:sigma=0.2"])
    assert np.array_equal(release_of(experiment, chosen).images("test").pixels, first.pixels)
    other = noisy.images("test", ATTACKERS_VALIDATION)
    assert not np.array_equal(other.pixels, first.pixels), "the attacker's own run draws anew"
    # Every pair and every rank is of that one version.
    (template,) = experiment.settings.attackers
    linked = experiment.make_links(template, Rung("ignorant", "released-released"), noisy)
    pairs = experiment.pairs["random"]
    pixels = first.pixels.reshape(len(first.pixels), -1).astype(np.float32)
    expected = -np.abs(pixels[pairs.a] - pixels[pairs.b]).mean(axis=1)
    np.testing.assert_allclose(linked.scores(pairs), expected, rtol=1e-5)
    np.testing.assert_allclose(np.diag(linked.block(slice(None))), 0)
