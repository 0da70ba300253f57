"""The drop against the undefended run: recorded, or paired where the scores of both are there, or said to be bare."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from rich.console import Console

from reidbench import metrics
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.scores import SUFFIX
from reidbench.records.store import write_record
from reidbench.report.figures.paired.change import Paired
from reidbench.report.figures.paired.drops import UNPAIRED, headline_drop, paired_drops, recorded_drop
from reidbench.report.figures.paired.matching import Kept, key_of, read_kept
from reidbench.report.figures.summary import worst_retrieval, worst_verification
from reidbench.report.site.board import boards
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

RUNS = 100


@pytest.fixture(scope="module")
def told(tiny_run) -> list[Kept]:
    """The undefended run, mild noise, strong noise, as a run writes them: with their drops."""
    found = {one.record.id: one for one in read_kept([tiny_run["runs"]])}
    return [found[record.id] for record in tiny_run["records"]]


@pytest.fixture(scope="module")
def kept(told) -> list[Kept]:
    """The same as earlier records are: their drops follow from the scores alone."""
    return [replace(one, record=one.record.model_copy(update={"drops": None})) for one in told]


@pytest.fixture(scope="module")
def drops(kept):
    return paired_drops(kept, runs=RUNS)


def test_the_interval_is_that_of_both_worst_cases_under_the_same_resamples(kept, drops):
    undefended, _, noise = kept
    before, after = undefended.scores(), noise.scores()
    worst = [worst_verification(one.record).attack for one in (undefended, noise)]
    a, b, same = before.pairs[worst[0].negatives]
    expected = metrics.bootstrap_auc_drop_patients(
        before.verification[key_of(worst[0])], after.verification[key_of(worst[1])], same.astype(bool),
        before.patients[a], before.patients[b], runs=RUNS, seed=BOOTSTRAP_SEED,
    )  # fmt: skip
    found = drops[noise.record.id, worst_verification]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))

    worst = [worst_retrieval(one.record).attack for one in (undefended, noise)]
    falls = before.average_precision[key_of(worst[0])] - after.average_precision[key_of(worst[1])].astype(float)
    asked = ~np.isnan(falls)
    each = np.array([falls[(before.patients == p) & asked].mean() for p in np.unique(before.patients[asked])])
    found = drops[noise.record.id, worst_retrieval]
    assert found.value == pytest.approx(each.mean(), abs=1e-6)
    # Patients also change each other's ranks in the gallery: the interval of their means alone is narrower.
    means = np.random.default_rng(0).choice(each, (2_000, len(each))).mean(axis=1)
    spread = np.subtract(*np.percentile(means, [97.5, 2.5]))
    assert 0.8 * spread < found.high - found.low < 4 * spread


@pytest.mark.parametrize("find", [worst_verification, worst_retrieval])
def test_a_run_records_what_its_scores_say(told, kept, find, tmp_path):
    undefended, mild, _ = told
    runs = mild.record.bootstrap_runs
    computed = paired_drops(kept, runs=runs)[mild.record.id, find]
    # Without a file of scores, and with fewer resamplings asked for.
    bare = Kept(mild.record, write_record(mild.record, tmp_path))
    found = paired_drops([undefended, bare], runs=RUNS)[mild.record.id, find]
    assert (found.value, found.low, found.high) == pytest.approx((computed.value, computed.low, computed.high))
    words = " ".join(words for _, _, words in record_context(bare, undefended)["headline"])
    assert f"drop {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" in words
    assert undefended.record.drops is None


def test_a_recorded_drop_of_another_attack_or_of_no_such_height_is_not_shown(told, tmp_path):
    undefended, mild, _ = told
    stated = mild.record.drops
    for edit in (
        {"after": stated.auc.before + "x"},
        {"fall": stated.auc.fall.model_copy(update={"value": stated.auc.fall.value + 0.1})},
    ):
        drops = stated.model_copy(update={"auc": stated.auc.model_copy(update=edit)})
        edited = mild.record.model_copy(update={"drops": drops})
        bare = Kept(edited, write_record(edited, tmp_path))
        assert (mild.record.id, worst_verification) not in paired_drops([undefended, bare], runs=RUNS)


def perfect(record, low):
    """The record with a strongest AUC of 1 that may be as low as this."""
    worst = worst_verification(record).attack
    figure = worst.metrics.auc.model_copy(update={"value": 1.0, "low": low, "high": 1.0})
    metrics_of = worst.metrics.model_copy(update={"auc": figure})
    attacks = [
        one.model_copy(update={"metrics": metrics_of}) if key_of(one) == key_of(worst) else one
        for one in record.attacks
    ]
    return record.model_copy(update={"attacks": attacks})


@pytest.mark.parametrize("definitions", [2, 3])
def test_recorded_drops_of_before_are_bounded_where_a_figure_is_at_an_end(told, definitions):
    undefended, mild, _ = (one.record for one in told)
    value = worst_verification(undefended).value
    record = perfect(mild, 0.8)
    fall = mild.drops.auc.fall.model_copy(update={"value": value - 1, "low": value - 1.01, "high": value - 0.99})
    auc = mild.drops.auc.model_copy(update={"fall": fall})
    drops = mild.drops.model_copy(update={"auc": auc})
    record = record.model_copy(update={"drops": drops, "definitions": definitions})
    found = recorded_drop(undefended, record, worst_verification)
    # Of definitions 3 the record's own are bounded.
    assert (found.low, found.high) == (value - 1.01, pytest.approx(value - (0.8 if definitions == 2 else 0.99)))
    # A mAP@R is bounded where it is 0 or 1 itself, which this one is not.
    unbounded = recorded_drop(undefended, record, worst_retrieval)
    assert (unbounded.low, unbounded.high) == (drops.map_at_r.fall.low, drops.map_at_r.fall.high)


def test_no_change_drops_by_nothing_for_certain(kept):
    undefended = kept[0]
    for find in (worst_verification, worst_retrieval):
        found = headline_drop(Paired(undefended, undefended, RUNS), find)
        assert (found.value, found.low, found.high) == (0, 0, 0)
        assert math.copysign(1, found.low) == 1


def test_a_paired_interval_is_narrower_than_one_of_independent_runs(kept, drops):
    # Not of mild noise, whose resamples reach an AUC of 1: there nothing is known of either beyond the guard.
    undefended, _, noise = kept
    before, after = (worst_verification(one.record).figure for one in (undefended, noise))
    assert after.high < 1
    found = drops[noise.record.id, worst_verification]
    assert found.high - found.low < math.hypot(before.high - before.low, after.high - after.low)


def test_pages_show_the_interval_where_it_is_and_say_where_it_is_not(kept, drops):
    records = [one.record for one in kept]
    with_scores, without = render(records, drops), render(records)
    found = drops[records[1].id, worst_verification]
    assert f"| {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] |" in with_scores["phantom.md"]
    assert UNPAIRED not in with_scores["phantom.md"]
    assert UNPAIRED in without["phantom.md"]
    rows, bare = (list(csv.DictReader(io.StringIO(pages["phantom.csv"]))) for pages in (with_scores, without))
    row = next(row for row in rows if row["defense"] == "gaussian_noise sigma=0.1")
    assert float(row["auc_drop_low"]) == pytest.approx(found.low)
    assert float(row["map_at_r_patients_drop_high"]) == pytest.approx(drops[records[1].id, worst_retrieval].high)
    assert {row["auc_drop_low"] for row in bare} == {""}
    for one, other in zip(bare, rows, strict=True):
        if "" in (one["auc_drop"], other["auc_drop"]):
            assert one["auc_drop"] == other["auc_drop"]
            continue
        # The difference of two rounded figures, and a rounded difference.
        assert float(one["auc_drop"]) == pytest.approx(float(other["auc_drop"]), abs=2e-8)
    (board,) = boards(records, drops)
    assert f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" in {
        cell.text for line in board.lines for cell in line.cells
    }


def test_the_terminal_tells_drops_with_their_intervals(told):
    records = [one.record for one in told]

    def printed(records) -> str:
        stream = io.StringIO()
        print_summary(records, Console(file=stream, width=200, highlight=False))
        return stream.getvalue()

    for record in records[1:]:
        drops = record.drops
        falls = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in (drops.auc.fall, drops.map_at_r.fall)]
        assert f"drops: AUC {falls[0]}, mAP@R {falls[1]}\n" in printed(records)
    assert "drops: " not in printed([records[0]])
    # Without the undefended run there is nothing to hold the stated drop against.
    assert "drops: " not in printed(records[1:])


def test_missing_or_foreign_scores_leave_the_drop_without_an_interval(kept, tmp_path):
    undefended, mild, noise = kept
    bare = Kept(mild.record, write_record(mild.record, tmp_path))
    assert not paired_drops([undefended, bare], runs=RUNS)
    (words,) = (
        words for name, _, words in record_context(bare, undefended)["headline"] if name == "AUC, strongest attack"
    )
    assert words.endswith("against the undefended run, without an interval, since the two could not be paired")
    # Another run's scores in their place are as good as none.
    theirs = noise.path.with_name(f"{noise.record.stem}{SUFFIX}").read_bytes()
    (tmp_path / f"{mild.record.stem}{SUFFIX}").write_bytes(theirs)
    assert not paired_drops([undefended, bare], runs=RUNS)
    (words,) = (
        words for name, _, words in record_context(mild, undefended)["headline"] if name == "AUC, strongest attack"
    )
    assert "; drop 0." in words.replace("-0", "0")
    assert "[" in words


def test_worst_cases_on_different_pairs_are_weighed_by_the_same_patients(kept):
    undefended, mild, _ = kept
    worst = worst_verification(mild.record)
    others = [
        attack
        for attack in mild.record.attacks
        if attack.task == "retrieval" or attack.negatives != worst.attack.negatives
    ]
    moved = replace(mild, record=mild.record.model_copy(update={"attacks": others}))
    found = headline_drop(Paired(undefended, moved, RUNS), worst_verification)
    fallen = worst_verification(undefended.record).value - worst_verification(moved.record).value
    assert found.value == pytest.approx(fallen)
    before, after = undefended.scores(), moved.scores()
    (a, b, same), (c, d, matched) = (before.pairs[kind] for kind in ("random", "matched"))
    rise = metrics.bootstrap_auc_drop_patients(
        after.verification[key_of(worst_verification(moved.record).attack)],
        before.verification[key_of(worst_verification(undefended.record).attack)],
        matched.astype(bool), before.patients[c], before.patients[d],
        after_pairs=(same.astype(bool), before.patients[a], before.patients[b]),
        runs=RUNS, seed=BOOTSTRAP_SEED,
    )  # fmt: skip
    assert (found.value, found.low, found.high) == pytest.approx((-rise.value, -rise.high, -rise.low))
    assert found.low < fallen < found.high


def test_over_seeds_the_drop_is_the_mean_and_its_interval_holds_their_spread(kept, drops):
    """Two runs of one defense stand in for two seeds: only their drops matter here."""
    undefended, mild, noise = (one.record for one in kept)
    twin = mild.model_copy(update={"id": noise.id, "seed": 1, "attacks": noise.attacks})
    page = render([undefended, mild, twin], drops)["phantom.csv"]
    row = next(row for row in csv.DictReader(io.StringIO(page)) if row["defense"].startswith("gaussian_noise"))
    both = [drops[record.id, worst_verification] for record in (mild, twin)]
    values = [worst_verification(record).value for record in (mild, twin)]
    assert float(row["auc_drop"]) == pytest.approx(fmean(drop.value for drop in both))
    assert float(row["auc_drop_high"]) - float(row["auc_drop_low"]) > fmean(drop.high - drop.low for drop in both)
    assert (row["seeds"], float(row["auc"])) == ("2", pytest.approx(fmean(values)))
    assert float(row["auc_spread"]) == pytest.approx(stdev(values))
    assert float(row["auc_max"]) == max(values)
    # One seed without its scores: a mean of some intervals would be no interval of the mean.
    page = render([undefended, mild, twin], {key: drop for key, drop in drops.items() if key[0] == mild.id})
    rows = csv.DictReader(io.StringIO(page["phantom.csv"]))
    assert next(row for row in rows if row["seeds"] == "2")["auc_drop_low"] == ""
