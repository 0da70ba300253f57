"""Boards whose rows were computed on other machines than the undefended run say so, and compare what is comparable."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from board_records import valid_run
from rich.console import Console

from reidbench.records.parts.common import Interval
from reidbench.records.parts.provenance import Git
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


def run_of(template, name, left, fall, *, kind="image", git="", seed=0, **environment):
    """A run whose retrained classifier has this utility and fall, on a machine that differs in ``environment``."""
    utility = Interval(value=left, low=left - 0.05, high=left + 0.05)
    found = Interval(value=fall[0], low=fall[1], high=fall[2])
    classifiers = [one.model_copy(update={"macro_auc": utility, "fall": found}) for one in template.utility.classifiers]
    here = template.environment.model_copy(update={"device_name": "one", **environment})
    code = Git(commit=f"{git or 'one'}", dirty=False)
    plain = f"undefended-{seed}"
    changes = {"environment": here, "git": code, "seed": seed}
    changes |= {"id": f"{name}-{seed}", "baseline_id": None if kind == "none" else plain}
    return valid_run(template, name, classifiers, kind=kind, **changes)


@pytest.fixture(scope="module")
def undefended(template):
    return run_of(template, "undefended", 0.70, (0.0, 0.0, 0.0), kind="none")


def table_of(*records):
    return rows(records, records, board_controls(records, records), {})


START = "Computed on another machine, or with other packages, than the undefended run"
CLASSIFIER = (
    "the classifier of originals, from which falls of utility are counted, has {} there and {} in the undefended run, "
    "and utilities of the two are comparable no closer than that"
)


def test_a_board_of_one_machine_says_nothing(template, undefended):
    near = run_of(template, "near", 0.65, (0.05, 0.01, 0.09))
    table = table_of(undefended, near)
    assert elsewhere(table) == []
    assert [row.status for row in table] == ["complete", "complete"]
    assert elsewhere(table_of(undefended)) == elsewhere(table_of(near)) == []


def test_a_row_of_another_processor_is_named_with_what_differs(template, undefended):
    near = run_of(template, "near", 0.65, (0.05, 0.01, 0.09))
    far = run_of(template, "far", 0.60, (0.08, 0.01, 0.19), device_name="another")
    table = table_of(undefended, near, far)
    (told,) = elsewhere(table)
    what = f"another, not one; {CLASSIFIER.format('0.6800', '0.7000')}"
    assert told == f"{START} (1 of 2 rows: far): {what}."
    assert {row.label: row.status for row in table if row.status != "complete"} == {"far": "of another machine"}
    stream = io.StringIO()
    print_summary([undefended, near, far], Console(file=stream, width=100))
    printed = " ".join(stream.getvalue().split())
    assert f"far: {START[:1].lower()}{START[1:]}: {what}" in printed
    assert printed.count("another machine") == 1
    (page,) = (text for name, text in render([undefended, near, far]).items() if name.endswith(".md"))
    assert told in page
    assert told in boards([undefended, near, far])[0].said


def test_records_that_do_not_name_their_processor_are_told_apart_by_their_classifier(template, undefended):
    # Its own classifier of originals has 0.68: its fall is counted from that one.
    far = [run_of(template, f"far{n}", 0.60, (0.08, 0.01, 0.09)) for n in range(6)]
    near = run_of(template, "near", 0.65, (0.05, 0.01, 0.09))
    (told,) = elsewhere(table_of(undefended, near, *far))
    what = CLASSIFIER.format("0.6800", "0.7000")
    assert told == f"{START} (6 of 7 rows: far0, far1, far2, far3 and 2 more): {what}."


def test_equal_trainings_on_another_processor_come_from_one_cache(template, undefended):
    shared = run_of(template, "shared", 0.65, (0.05, 0.01, 0.09), device_name="another")
    assert elsewhere(table_of(undefended, shared)) == []


@pytest.mark.parametrize(
    ("left", "changes", "told"),
    [
        # Trainings of another commit, or on a GPU, end elsewhere on one machine too.
        (0.60, {"git": "another"}, None),
        (0.60, {"git": "another", "device_name": "another"}, "another, not one"),
        (0.60, {"device": "cuda", "device_name": "a GPU"}, "cuda, not cpu"),
        (0.60, {"device": "cuda", "device_name": "a GPU", "git": "another"}, "cuda, not cpu"),
        # Less than what is shown of a utility.
        (0.65001, {}, None),
    ],
)
def test_what_else_moves_a_training_is_no_other_machine(template, undefended, left, changes, told):
    far = run_of(template, "far", left, (0.05, 0.01, 0.09), **changes)
    assert elsewhere(table_of(undefended, far)) == ([f"{START} (1 of 1 rows: far): {told}."] if told else [])


def test_on_one_gpu_no_two_trainings_are_equal(template):
    gpu = {"device": "cuda", "device_name": "a GPU"}
    plain = run_of(template, "undefended", 0.70, (0.0, 0.0, 0.0), kind="none", **gpu)
    assert elsewhere(table_of(plain, run_of(template, "far", 0.60, (0.05, 0.01, 0.09), **gpu))) == []


def test_without_a_recorded_fall_packages_tell(template, undefended):
    far = run_of(template, "far", 0.60, (None, None, None), packages={"torch": "2.14.0", "pandas": "1.0"})
    torch = template.environment.packages["torch"]
    assert elsewhere(table_of(undefended, far)) == [f"{START} (1 of 1 rows: far): torch 2.14.0, not torch {torch}."]


def test_seeds_of_a_row_are_told_in_one_sentence_and_named_where_not_all_are_apart(template):
    falls = {0: 0.05, 1: 0.08, 2: 0.09}
    plain = [run_of(template, "undefended", 0.70, (0.0, 0.0, 0.0), kind="none", seed=seed) for seed in falls]
    partly = [run_of(template, "partly", 0.65, (0.05 + (seed == 2) / 50, 0.0, 0.1), seed=seed) for seed in falls]
    wholly = [run_of(template, "wholly", 0.60, (0.1 + fall, 0.0, 0.2), seed=seed) for seed, fall in falls.items()]
    wholly[0] = run_of(template, "wholly", 0.60, (0.07, 0.0, 0.2))
    what = CLASSIFIER.format("0.6700 to 0.7900", "0.7000")
    (told,) = elsewhere(table_of(*plain, *partly, *wholly))
    assert told == f"{START} (2 of 2 rows: partly at seed 2, wholly): {what}."


def test_diagnosis_is_judged_by_the_classifier_that_the_fall_is_counted_from(template, undefended):
    # Half of what is above chance: 0.1 on the machine of the undefended run, 0.09 on the other.
    here = run_of(template, "here", 0.61, (0.09, 0.085, 0.095))
    there = run_of(template, "there", 0.58, (0.10, 0.092, 0.098))
    # On its machine the classifier of originals is at chance: nothing can be lost there.
    blind = run_of(template, "blind", 0.48, (0.0, -0.01, 0.01))
    table = table_of(undefended, here, there, blind)
    found = {row.label: tier for row, tier in zip(table, tiers(table), strict=True)}
    assert found == {"undefended": None, "here": Tier.KEEPS, "there": Tier.LOSES, "blind": Tier.OPEN}
