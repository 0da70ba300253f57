"""Strata as a reader sees them: every stratum with its counts, dashes for what is undefined, and why."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from reidbench.metrics import wilson_interval
from reidbench.records.schema import Record, Stratification
from reidbench.records.store import read_record
from reidbench.report.text.strata import lines, markdown, plot, print_strata, stratified_attack

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def record() -> Record:
    return read_record(SAMPLES / "v1-strata.json")


@pytest.fixture(scope="module")
def attack(record):
    return stratified_attack(record)


def without_views(attack):
    """The attack as if the table had no views, and not everybody's sex."""
    strata = dict(attack.metrics.strata)
    strata["view"] = Stratification(source="view", missing="the table has no view", unknown=135, strata=[])
    strata["sex"] = strata["sex"].model_copy(update={"unknown": 7})
    return attack.model_copy(update={"metrics": attack.metrics.model_copy(update={"strata": strata})})


def test_the_strongest_attack_on_random_negatives_is_shown(record, attack):
    shown = [a for a in record.attacks if a.task == "verification" and a.negatives == "random"]
    assert attack in shown
    assert attack.metrics.auc.value == max(a.metrics.auc.value for a in shown)
    assert stratified_attack(record, "retrieval") is None
    assert stratified_attack(read_record(SAMPLES / "v1-gaussian_noise.json")) is None


@pytest.mark.parametrize("threshold", ["calibrated", "at_half"])
def test_the_table_has_every_stratum_with_counts_and_both_intervals(attack, threshold):
    table = markdown(attack, threshold)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("|")]
    strata = [stratum for by in attack.metrics.strata.values() for stratum in by.strata]
    assert [row[1:4] for row in rows[2:]] == [[s.name, f"{s.pairs:,}", f"{s.patients:,}"] for s in strata]
    for row, stratum in zip(rows[2:], strata):
        rate = getattr(stratum, threshold)
        if rate.value is None:
            assert row[4:] == ["–", "–"]
            continue
        assert row[4].startswith(f"{rate.value:.3f}")
        assert ("[" in row[4]) == (stratum.patients > 1)
        pairs = wilson_interval(round(rate.value * stratum.pairs), stratum.pairs)
        assert row[5] == f"[{pairs.low:.2f}, {pairs.high:.2f}]"


def test_what_is_missing_is_said(attack):
    partial = without_views(attack)
    table = markdown(partial)
    assert "Views: the table has no view." in table
    assert "Sex: unknown of 7 genuine pairs." in table
    assert "PA-AP" not in table
    assert len(lines(partial)) == len(lines(attack)) - 3


def test_the_figure_has_a_panel_a_property_with_the_intervals_as_bars(attack):
    figure = plot(attack)
    assert len(figure.data) == len(attack.metrics.strata)
    views = next(trace for trace in figure.data if "PA-AP" in trace.x)
    strata = {stratum.name: stratum for stratum in attack.metrics.strata["view"].strata}
    for name, value, up, down in zip(views.x, views.y, views.error_y.array, views.error_y.arrayminus):
        rate = strata[name].calibrated
        assert (value, value + up, value - down) == pytest.approx((rate.value, rate.high, rate.low))
    assert len(plot(without_views(attack)).data) == len(figure.data) - 1
    empty = attack.model_copy(update={"metrics": attack.metrics.model_copy(update={"strata": None})})
    assert not plot(empty).data


def test_the_terminal_table_fits_and_an_old_record_says_that_it_has_none(record):
    stream = io.StringIO()
    print_strata([record, read_record(SAMPLES / "v1-gaussian_noise.json")], Console(file=stream, width=200))
    printed = stream.getvalue()
    assert max(map(len, printed.splitlines())) <= 100
    assert "Years between visits" in printed
    assert "gaussian_noise sigma=0.2: the record holds no strata" in printed
