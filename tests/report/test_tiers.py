"""Tiers of diagnostic value follow the rule of the conclusions, with the whole interval."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from board_records import valid_run

from reidbench.records.parts.common import Interval
from reidbench.records.store import read_record
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.board.tiers import Tier, half_line, tiers
from reidbench.report.figures.controls import board_controls
from reidbench.report.site.board import COLUMNS, boards
from reidbench.report.text.leaderboard import render

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v2-gaussian_noise.json")


def made(template, name, left, fall=None, *, kind="image"):
    """A valid run with classifiers of this macro AUC, and this fall against originals."""
    found = None if fall is None else Interval(value=fall[0], low=fall[1], high=fall[2])
    utility = Interval(value=left, low=left - 0.05, high=left + 0.05)
    classifiers = [one.model_copy(update={"macro_auc": utility, "fall": found}) for one in template.utility.classifiers]
    return valid_run(template, name, classifiers, kind=kind)


# Half of what 0.8 has above chance is 0.15.
FALLS = {
    "kept": ((0.05, 0.01, 0.14), Tier.KEEPS),
    "better": ((-0.05, -0.09, -0.01), Tier.KEEPS),
    "open": ((0.05, 0.01, 0.16), Tier.OPEN),
    "unbounded": ((0.01, None, None), Tier.OPEN),
    "lost": ((0.2, 0.16, 0.25), Tier.LOSES),
}


@pytest.fixture(scope="module")
def records(template):
    plain = made(template, "undefended", 0.8, (0.0, 0.0, 0.0), kind="none")
    return [plain, *(made(template, name, 0.8 - fall[0], fall) for name, (fall, _) in FALLS.items())]


def table_of(records):
    return rows(records, records, board_controls(records, records), {})


def test_a_tier_needs_the_whole_interval(records):
    table = table_of(records)
    assert half_line(table) == pytest.approx(0.65)
    found = {row.label: tier for row, tier in zip(table, tiers(table), strict=True)}
    assert found == {"undefended": None} | {name: tier for name, (_, tier) in FALLS.items()}


def test_without_a_utility_above_chance_there_is_no_tier(template, records):
    blind = made(template, "undefended", 0.5, kind="none")
    # Its interval of 0.05 on either side includes chance.
    doubtful = made(template, "undefended", 0.549, kind="none")
    for others in (records[1:], [blind, *records[1:]], [doubtful, *records[1:]]):
        table = table_of(others)
        assert half_line(table) is None
        assert set(tiers(table)) == {None}
    assert half_line(table_of([made(template, "undefended", 0.551, kind="none"), *records[1:]])) is not None
    unmeasured = records[1].model_copy(update={"utility": None})
    assert tiers(table_of([records[0], unmeasured])) == [None, None]
    # The rule is that of released images.
    models = [one.model_copy(update={"track": "model"}) for one in records]
    assert set(tiers(table_of(models))) == {None}


def test_pages_tables_and_plots_tell_the_tier(records):
    name = records[0].dataset.title
    pages = render(records)
    by_defense = {row["defense"]: row["utility_tier"] for row in csv.DictReader(io.StringIO(pages[f"{name}.csv"]))}
    assert by_defense == {"undefended": ""} | {name: tier.value for name, (_, tier) in FALLS.items()}
    (head,) = (line for line in pages[f"{name}.md"].splitlines() if line.startswith("| defense"))
    at = head.split(" | ").index("diagnosis")
    lost = next(line for line in pages[f"{name}.md"].splitlines() if line.startswith("| lost"))
    assert lost.split(" | ")[at] == "loses half or more"
    (board,) = boards(records)
    column = [name for name, _ in COLUMNS].index("diagnosis")
    cells = {line.row.label: line.cells[column] for line in board.lines}
    assert cells["kept"].text == "keeps diagnosis"
    assert cells["undefended"].value is None
    assert cells["kept"].value > cells["open"].value > cells["lost"].value, "sorted, what keeps most comes first"
    assert board.chart["half"] == pytest.approx(0.65)
    plotted = {row["label"]: row["tier"] for row in board.chart["rows"]}
    assert plotted == {label: tier or None for label, tier in by_defense.items()}
