"""Boards whose rows were computed on other machines than the undefended run say so, and compare what is comparable."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from board_records import valid_run
from rich.console import Console

from reidbench.records.parts.common import Interval
from reidbench.records.store import read_record
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.board.tiers import Tier, tiers
from reidbench.report.figures.controls import board_controls
from reidbench.report.figures.elsewhere import elsewhere
from reidbench.report.site.board import boards
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v2-gaussian_noise.json")


def run_of(template, name, left, fall, *, kind="image", **environment):
    """A run whose retrained classifier has this utility and fall, on a machine that differs in ``environment``."""
    utility = Interval(value=left, low=left - 0.05, high=left + 0.05)
    found = Interval(value=fall[0], low=fall[1], high=fall[2])
    classifiers = [one.model_copy(update={"macro_auc": utility, "fall": found}) for one in template.utility.classifiers]
    here = template.environment.model_copy(update={"device_name": "one", **environment})
    return valid_run(template, name, classifiers, kind=kind, environment=here)


@pytest.fixture(scope="module")
def undefended(template):
    return run_of(template, "undefended", 0.70, (0.0, 0.0, 0.0), kind="none")


def table_of(*records):
    return rows(records, records, board_controls(records, records), {})


def test_a_board_of_one_machine_says_nothing(template, undefended):
    assert elsewhere(table_of(undefended, run_of(template, "blur", 0.65, (0.05, 0.01, 0.09)))) == []
    assert elsewhere(table_of(undefended)) == []


def test_a_row_of_another_processor_is_named_with_what_differs(template, undefended):
    near = run_of(template, "near", 0.65, (0.05, 0.01, 0.09))
    far = run_of(template, "far", 0.60, (0.10, 0.01, 0.19), device_name="another")
    (told,) = elsewhere(table_of(undefended, near, far))
    assert told == "1 of 2 rows (far) were computed on another machine than the undefended run: another, not one."
    console = Console(file=io.StringIO(), width=400)
    print_summary([undefended, near, far], console)
    line = "far: computed on another machine than the undefended run: another, not one"
    assert [text.strip() for text in console.file.getvalue().splitlines() if "another machine" in text] == [line]
    (page,) = (text for name, text in render([undefended, near, far]).items() if name.endswith(".md"))
    assert told in page
    assert told in boards([undefended, near, far])[0].said


def test_records_that_do_not_name_their_processor_are_told_apart_by_their_classifier(template, undefended):
    # Its own classifier of originals has 0.68: its fall is counted from that one.
    far = [run_of(template, f"far{n}", 0.60, (0.08, 0.01, 0.09)) for n in range(6)]
    (told,) = elsewhere(table_of(undefended, *far))
    assert told == (
        "All 6 rows were computed on another machine than the undefended run: the classifier of originals has a "
        "utility of 0.680 there, from which falls of utility are counted, and of 0.700 in the undefended run."
    )
    near = run_of(template, "near", 0.65, (0.05, 0.01, 0.09))
    (told,) = elsewhere(table_of(undefended, near, *far))
    assert told.startswith("6 of 7 rows (far0, far1, far2, far3 and 2 more) were computed on another machine")


def test_diagnosis_is_judged_by_the_classifier_that_the_fall_is_counted_from(template, undefended):
    # Half of what is above chance: 0.1 on the machine of the undefended run, 0.09 on the other.
    here = run_of(template, "here", 0.61, (0.09, 0.085, 0.095))
    there = run_of(template, "there", 0.58, (0.10, 0.092, 0.098))
    table = table_of(undefended, here, there)
    found = {row.label: tier for row, tier in zip(table, tiers(table), strict=True)}
    assert found == {"undefended": None, "here": Tier.KEEPS, "there": Tier.LOSES}
