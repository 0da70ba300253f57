"""How certain the order of a board is, against resampling written out and known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, t

from reidbench.files import content_digest
from reidbench.records.parts.common import Interval
from reidbench.records.scores import SUFFIX
from reidbench.records.store import read_record, write_record
from reidbench.report.figures.board.ranks import PatientInfluence, explained, ranks, read_influences
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.paired.matching import read_kept

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"
SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v1-gaussian_noise.json")


def row(template, name, value, half=0.05, seeds=1):
    """A row with this mAP@R over patients in every attack."""
    figures = Interval(
        value=value, low=None if half is None else value - half, high=None if half is None else value + half
    )
    attacks = [
        attack.model_copy(update={"metrics": attack.metrics.model_copy(update={"map_at_r_patients": figures})})
        for attack in template.attacks
        if attack.task == "retrieval"
    ]
    defense = template.defense.model_copy(update={"name": name, "options": {}})
    records = tuple(
        template.model_copy(update={"id": f"{name}{seed}", "seed": seed, "defense": defense, "attacks": attacks})
        for seed in range(seeds)
    )
    return Row(records, (None,) * seeds, ())


def influences(**values):
    return {f"{name}0": PatientInfluence("cohort", np.asarray(each)) for name, each in values.items()}


def centred(rng, patients, error):
    values = rng.normal(size=patients)
    values -= values.mean()
    return values * error / np.sqrt((values**2).sum())


def test_rows_far_apart_have_ranks_of_their_own(template):
    table = [row(template, name, value) for name, value in (("c", 0.1), ("a", 0.9), ("b", 0.5))]
    assert [(one.text, one.range) for one in ranks(table)] == [("3", "3"), ("1", "1"), ("2", "2")]


def test_rows_that_cannot_be_told_apart_share_the_first_ones_rank(template):
    # Half a width of 0.05 is 0.0255 of deviation: a difference of two rows has 0.0361, and 0.0707 is certain enough.
    values = {"a": 0.60, "b": 0.57, "c": 0.54, "d": 0.52, "e": 0.30}
    table = [row(template, name, value) for name, value in values.items()]
    assert [one.text for one in ranks(table)] == ["1=", "1=", "1=", "4", "5"]
    assert 1.959964 * np.sqrt(2) * 0.05 / 1.959964 == pytest.approx(0.0707, abs=1e-4)


def test_what_rows_share_cancels(template):
    rng = np.random.default_rng(0)
    common = centred(rng, 60, 0.05)
    table = [row(template, "a", 0.60, 0.1), row(template, "b", 0.58, 0.1)]
    apart = ranks(table)
    assert [one.text for one in apart] == ["1=", "1="]
    assert [one.range for one in apart] == ["1–2", "1–2"]
    own = centred(rng, 60, 0.002)
    paired = ranks(table, influences(a=common, b=common + own))
    assert [(one.text, one.range, one.paired) for one in paired] == [("1", "1", True), ("2", "2", True)]
    # Another set of patients pairs with nobody.
    other = {**influences(a=common), "b0": PatientInfluence("others", common)}
    assert sum(one.paired for one in ranks(table, other)) == 1


def test_ranks_are_those_of_figures_drawn_one_by_one(template):
    # Independent normal figures: the share of draws in which a row is first is known by integration.
    table = [row(template, "a", 0.50, 0.10), row(template, "b", 0.46, 0.05), row(template, "c", 0.40, 0.02)]
    found = ranks(table, runs=4_000)
    deviation = np.array([0.10, 0.05, 0.02]) / norm.ppf(0.975)
    draws = np.random.default_rng(1).normal([0.50, 0.46, 0.40], deviation, (40_000, 3))
    places = (draws[:, :, None] < draws[:, None, :]).sum(axis=2) + 1
    low, high = np.quantile(places, [0.025, 0.975], axis=0, method="inverted_cdf")
    assert [(one.low, one.high) for one in found] == list(zip(low.astype(int), high.astype(int)))


def test_resamples_of_patients_are_multinomial_sums(template):
    rng = np.random.default_rng(3)
    moved = {name: centred(rng, 30, error) for name, error in (("a", 0.05), ("b", 0.04), ("c", 0.03))}
    values = {"a": 0.50, "b": 0.47, "c": 0.42}
    table = [row(template, name, value) for name, value in values.items()]
    found = ranks(table, influences(**moved), runs=4_000)
    times = rng.multinomial(30, np.full(30, 1 / 30), 40_000) - 1
    draws = np.array(list(values.values())) + times @ np.stack(list(moved.values())).T
    places = (draws[:, :, None] < draws[:, None, :]).sum(axis=2) + 1
    low, high = np.quantile(places, [0.025, 0.975], axis=0, method="inverted_cdf")
    assert [(one.low, one.high) for one in found] == list(zip(low.astype(int), high.astype(int)))


def test_a_row_without_an_interval_is_told_apart_from_nobody(template):
    table = [row(template, "a", 0.9), row(template, "b", 0.1, None)]
    assert [one.text for one in ranks(table)] == ["1=", "1="]
    # It may stand anywhere, and so each of the others may be one further down, but no more.
    table = [row(template, "a", 0.9), row(template, "b", 0.5), row(template, "c", 0.7, None)]
    assert [(one.low, one.high) for one in ranks(table)] == [(1, 2), (2, 3), (1, 3)]
    table = [row(template, name, value, None) for name, value in (("a", 0.6), ("b", 0.55), ("c", 0.5))]
    assert [(one.text, one.range) for one in ranks(table)] == [("1=", "1–3")] * 3


def test_equal_figures_share_a_rank_in_any_order(template):
    table = [row(template, name, 0.5) for name in "abc"]
    same = influences(a=np.zeros(9), b=np.zeros(9), c=np.zeros(9))
    # Which of them comes first says nothing: each has the first and the last place of the three.
    assert [(one.text, one.range) for one in ranks(table, same)] == [("1=", "1–3")] * 3
    assert ranks(table[::-1], same) == ranks(table, same)[::-1]


def test_rows_that_move_alike_have_the_places_of_each_other(template):
    rng = np.random.default_rng(0)
    moved = centred(rng, 60, 0.05)
    table = [row(template, "a", 0.6), row(template, "b", 0.6), row(template, "c", 0.2)]
    found = ranks(table, influences(a=moved, b=moved, c=moved))
    assert [(one.text, one.range) for one in found] == [("1=", "1–2"), ("1=", "1–2"), ("3", "3")]


def test_the_spread_of_three_seeds_is_itself_uncertain(template):
    # Nothing varies but the seeds: a mean of 0.5 with a standard error of 0.02 on two degrees of freedom.
    def over_seeds(name, middle, error):
        step = error * np.sqrt(3)
        each = [row(template, name, middle + by * step, half=0.0).records[0] for by in (-1, 0, 1)]
        return Row(
            tuple(one.model_copy(update={"id": f"{name}{seed}"}) for seed, one in enumerate(each)), (None,) * 3, ()
        )

    quantile = t.ppf(0.975, 2)
    assert quantile == pytest.approx(4.303, abs=1e-3)
    for distance, text in ((0.95 * quantile, "1="), (1.05 * quantile, "2")):
        table = [row(template, "a", 0.5 + 0.02 * distance, half=0.0), over_seeds("b", 0.5, 0.02)]
        assert ranks(table)[1].text == text
    table = [row(template, name, 0.5 + by, half=0.0) for name, by in (("a", 0.05), ("c", -0.08))]
    found = ranks([*table, over_seeds("b", 0.5, 0.02)], runs=4_000)[2]
    draws = t.rvs(2, loc=0.5, scale=0.02, size=40_000, random_state=0)
    places = 1 + (draws < 0.55).astype(int) + (draws < 0.42)
    assert (found.low, found.high) == tuple(np.quantile(places, [0.025, 0.975], method="inverted_cdf"))


def test_a_row_without_the_figure_has_no_rank(template):
    table = [row(template, "a", 0.5), row(template, "b", None, None)]
    first, second = ranks(table)
    assert (first.text, second) == ("1", None)
    assert explained([None]) == ""
    assert ranks([]) == []


def test_it_is_said_what_ranks_were_made_from(template):
    table = [row(template, "a", 0.6), row(template, "b", 0.5)]
    assert "independent" in explained(ranks(table))
    moved = centred(np.random.default_rng(0), 9, 0.01)
    assert "1 rows at once; the other 1" in explained(ranks(table, influences(a=moved)))
    assert explained(ranks(table, influences(a=moved, b=moved))) == "Ranks: patients resampled for all rows at once."


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_ranks_go_on_without_scores_that_cannot_be_read(tmp_path, content):
    path = sorted(COMMITTED.glob(f"gaussian_noise-*{SUFFIX}"))[0]
    record = read_record(path.with_name(path.name.replace(SUFFIX, ".json")))
    whole = read_influences(read_kept([path.with_name(path.name.replace(SUFFIX, ".json"))]))
    assert list(whole) == [record.id]
    scores = tmp_path / path.name
    scores.write_bytes(content)
    write_record(record.model_copy(update={"scores_sha256": content_digest(scores)}), tmp_path)
    assert read_influences(read_kept([tmp_path])) == {}
