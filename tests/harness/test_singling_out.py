"""Singling out on a rung: whose limit, whose figures, and what copies and a release of nothing do."""

from __future__ import annotations

import numpy as np
import pytest

from reidbench.harness.questions.singling_out import judge_singling_out
from reidbench.harness.scores.sources import Gallery
from reidbench.metrics.linkability.leads import lead_limit, leads
from reidbench.records.ladder import Rung

PATIENTS = np.repeat(np.arange(120), 3)
RUNG = Rung("informed", "released-released")


def distances(a, b):
    return -np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)).astype(np.float32)


class Links:
    """Images of patients in a space, with so much noise; other patients for validation."""

    name = "embedded"

    def __init__(self, noise, *, constant=False, validated=True):
        def gallery(seed):
            rng = np.random.default_rng(seed)
            images = np.repeat(rng.normal(size=(120, 6)), 3, axis=0) + noise * rng.normal(size=(360, 6))
            return Gallery(images, np.zeros_like(images) if constant else images, distances)

        self.test = gallery(1)
        self.galleries = (self.test, gallery(2)) if validated else None

    def block(self, rows):
        return self.test.block(rows)


def judged(links, **changed):
    given = {"patients": PATIENTS, "validation": PATIENTS, "runs": 100, **changed}
    return judge_singling_out(links, RUNG, given["patients"], given["validation"], runs=given["runs"])[0]


def test_the_limit_comes_from_validation_patients_and_figures_are_of_test_patients():
    links = Links(0.3)
    found, wider = judge_singling_out(links, RUNG, PATIENTS, PATIENTS, runs=100)
    mine, theirs = (leads(gallery.block, PATIENTS) for gallery in links.galleries)
    limit = lead_limit(theirs)
    assert (found.false_share, wider.false_share) == (0.01, 0.05)
    assert found.limit > wider.limit
    assert found.correct.value < wider.correct.value
    assert (found.calibrated_on, found.calibration_patients, found.patients) == ("validation", 120, 120)
    assert found.limit == pytest.approx(limit, abs=1e-5)
    for name, leading in (("correct", mine.own), ("wrong", mine.wrong), ("unpublished", mine.unpublished)):
        assert getattr(found, name).value == pytest.approx(np.mean(leading > limit), abs=1e-4)


def test_less_noise_isolates_more_and_strangers_stay_few():
    figures = [judged(Links(noise)) for noise in (0.1, 0.3, 3.0)]
    isolated = [one.correct.value for one in figures]
    assert isolated[0] > isolated[1] > isolated[2]
    assert isolated[0] > 0.5
    assert isolated[2] < 0.05
    assert all(one.unpublished.value < 0.06 for one in figures)


def test_a_constant_release_isolates_nobody():
    found = judged(Links(0.1, constant=True))
    assert (found.correct.value, found.wrong.value, found.unpublished.value) == (0, 0, 0)


def test_without_validation_patients_the_test_patients_set_the_limit():
    found = judged(Links(0.3, validated=False))
    assert (found.calibrated_on, found.calibration_patients) == ("test", 120)
    assert found.unpublished.value <= 0.01


def test_a_copy_of_the_known_image_isolates_nobody():
    # Noise alone, but each patient's second image is the first one's copy.
    rng = np.random.default_rng(0)
    images = rng.normal(size=(360, 6))
    images[1::3] = images[::3]
    pictures = np.arange(360)
    pictures[1::3] = pictures[::3]
    links = Links(1.0, validated=False)
    links.test = Gallery(images, images, distances)
    copied = judged(links)
    kept = judge_singling_out(links, RUNG, PATIENTS, PATIENTS, (pictures, None), runs=100)[0]
    assert copied.correct.value > 0.5
    assert kept.correct.value < 0.05


def test_nothing_to_find_is_no_figure():
    assert judge_singling_out(Links(0.3), RUNG, np.arange(360), PATIENTS, runs=100) == []
