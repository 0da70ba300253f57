"""A rung's further figures: what they are asked of, how scores are pooled, and chance where nothing is published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from reidbench.harness.questions.linkability import SHOT_SEED, judge_linkability, strongest_links
from reidbench.harness.scores.sources import Gallery
from reidbench.metrics.linkability.multi_shot import draw_shots
from reidbench.records.ladder import Rung
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, RetrievalMetrics

PATIENTS = np.repeat(np.arange(30), 9)
RUNG = Rung("ignorant", "original-released")


def distances(a, b):
    return -np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)).astype(np.float32)


class Links:
    """An attacker with vectors: noisy images of patients, and the same for validation."""

    name = "embedded"

    def __init__(self, noise, published=None):
        rng = np.random.default_rng(0)
        centres = np.repeat(rng.normal(size=(30, 1, 12)), 9, axis=1)
        held, shown = ((centres + noise * rng.normal(size=(30, 9, 12))).reshape(270, 12) for _ in range(2))
        self.gallery = Gallery(held, shown if published is None else published, distances)
        self.galleries = self.gallery, self.gallery

    def block(self, rows):
        return self.gallery.block(rows)


@pytest.fixture(scope="module")
def judged():
    links = Links(1.0)
    return links, judge_linkability(links, RUNG, PATIENTS, PATIENTS, runs=100)


def test_more_known_images_find_more_and_sets_of_published_ones_more_still(judged):
    _, found = judged
    figures = found.multi_shot
    assert (figures.patients, figures.set_patients) == (30, 30)
    for by_number in (figures.map_at_r, figures.precision_at_1, figures.set_precision_at_1):
        one, two, four = (by_number[m].value for m in ("1", "2", "4"))
        assert one < two < four
    assert figures.set_precision_at_1["4"].value > figures.precision_at_1["4"].value


def test_precision_with_four_images_is_that_of_the_chosen_pooling(judged):
    links, found = judged
    held, published = links.gallery.held, links.gallery.published
    shots = draw_shots(PATIENTS, seed=SHOT_SEED)
    right = {"mean score": [], "maximum": [], "mean vector": []}
    for known in shots.known:
        others = np.setdiff1d(np.arange(270), known)
        each = distances(held[known], published[others])
        rows = {
            "mean score": each.mean(axis=0),
            "maximum": each.max(axis=0),
            "mean vector": distances(held[known].mean(axis=0)[None], published[others])[0],
        }
        for way, scores in rows.items():
            right[way].append(PATIENTS[others[scores.argmax()]] == PATIENTS[known[0]])
    value = np.mean(right[found.multi_shot.pooling])
    assert found.multi_shot.precision_at_1["4"].value == pytest.approx(value, abs=1e-4)


def test_large_cohorts_have_the_same_figures_and_ask_for_the_scores_of_an_image_once(judged, monkeypatch):
    _, found = judged
    monkeypatch.setattr("reidbench.harness.scores.reranking.KEPT_SCORES", 0)
    asked = []
    for most in (0, len(PATIENTS) ** 2):
        monkeypatch.setattr("reidbench.harness.questions.linkability.MOST_PREPARED", most)
        links = Links(1.0)
        plain, rows_asked = links.block, []
        links.block = lambda rows, plain=plain, told=rows_asked: (told.append(rows.stop - rows.start), plain(rows))[1]
        assert judge_linkability(links, RUNG, PATIENTS, PATIENTS, runs=100) == found
        asked.append(sum(rows_asked))
    assert found.multi_shot.pooling != "mean vector"
    assert asked[1] < 0.6 * asked[0]


def test_sizes_beyond_the_cohort_are_marked(judged):
    _, found = judged
    assert [(one.gallery, one.extrapolated) for one in found.gallery_sizes] == [
        (100, False), (1_000, True), (10_000, True), (100_000, True),
    ]  # fmt: skip
    values = [one.precision_at_1.value for one in found.gallery_sizes]
    assert values == sorted(values, reverse=True)


def test_a_constant_gallery_is_at_chance_in_every_figure():
    links = Links(1.0, published=np.zeros((270, 12)))
    found = judge_linkability(links, RUNG, PATIENTS, PATIENTS, runs=100)
    for m in ("1", "2", "4"):
        assert found.multi_shot.precision_at_1[m].value == pytest.approx(5 / 266, abs=1e-4)
        assert found.multi_shot.set_precision_at_1[m].value == pytest.approx(1 / 30, abs=1e-4)
    assert found.closed_world.correct.value == pytest.approx(1 / 30, abs=1e-4)
    assert found.closed_world.chance == pytest.approx(1 / 30, abs=1e-4)
    assert found.gallery_sizes[0].precision_at_1.value == pytest.approx(1 / 100)
    assert all(one.precision_at_1.value < 0.002 for one in found.gallery_sizes[1:])


def test_patients_of_few_images_leave_figures_out():
    patients = np.arange(270)
    found = judge_linkability(Links(1.0), RUNG, patients, patients, runs=100)
    assert (found.multi_shot, found.closed_world, found.gallery_sizes) == (None, None, [])


def test_copies_of_a_picture_count_once(judged):
    _, plain = judged
    links = Links(1.0)
    # Ten images more, each the copy of another: with the numbers of pictures, figures are as without them.
    order = np.r_[np.arange(270), np.arange(0, 90, 9)]
    links.gallery = Gallery(links.gallery.held[order], links.gallery.published[order], distances)
    links.galleries = links.gallery, links.galleries[1]
    found = judge_linkability(links, RUNG, PATIENTS[order], PATIENTS, (order, None), runs=100)
    assert found == plain


def test_figures_have_few_digits_and_a_record_stays_small(judged):
    _, found = judged
    text = found.model_dump_json()
    assert found.closed_world.correct.value == round(found.closed_world.correct.value, 4)
    assert len(text) < 2000


@dataclass
class Named:
    name: str


def test_the_strongest_rung_of_each_linkage_is_judged_and_revised_scores_are_left_out():
    def attack(name, knowledge, linkage, value):
        figures = RetrievalMetrics.model_construct(map_at_r_patients=Interval(value=value, low=None, high=None))
        return Attack.model_construct(
            task="retrieval", attacker=name, knowledge=knowledge, linkage=linkage, metrics=figures
        )

    one, two = "original-released", "released-released"
    attacks = [
        attack("a", "ignorant", one, 0.2),
        attack("fusion", "ignorant", one, 0.4),
        attack("fusion", "informed", one, 0.5),
        attack("reranking", "informed", one, 0.9),
        attack("a", "informed", two, 0.3),
        attack("a", "ignorant", two, 0.3),
    ]
    members = [Named(name) for name in ("a", "fusion", "reranking")]
    linked = {Rung(knowledge, linkage): members for knowledge in ("ignorant", "informed") for linkage in (one, two)}
    found = strongest_links(linked, attacks)
    assert [(str(rung), links.name) for rung, links in found] == [
        ("informed/original-released", "fusion"),
        ("informed/released-released", "a"),
    ]
    assert strongest_links(linked, attacks[:3])[0][1].name == "fusion"
    assert strongest_links({}, []) == []
