"""The Pareto front of a table: rows on it, rows that are shown to be off it, and undecided rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench import metrics
from reidbench.records.parts.common import Interval
from reidbench.records.store import read_record
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.board.standing import Standing, standings
from reidbench.report.figures.controls import board_controls
from reidbench.report.figures.summary import worst_retrieval

SAMPLES = Path(__file__).parents[1] / "records" / "samples"
WIDE = 0.05


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v2-gaussian_noise.json")


def made(template, name, risk, left, *, fall=None, kind="image", baseline=None):
    """A valid run with one attack of this mAP@R and classifiers of this macro AUC, both give or take 0.05."""

    def around(value, width=WIDE):
        return Interval(value=value, low=value - width, high=value + width)

    attack = next(one for one in template.attacks if one.task == "retrieval")
    figures = attack.metrics.model_copy(update={"map_at_r_patients": around(risk)})
    classifiers = [
        one.model_copy(update={"macro_auc": around(left), "fall": fall}) for one in template.utility.classifiers
    ]
    return template.model_copy(
        update={
            "id": name,
            "attacks": [attack.model_copy(update={"metrics": figures})],
            "utility": template.utility.model_copy(update={"classifiers": classifiers}),
            "defense": template.defense.model_copy(update={"name": name, "options": {}, "kind": kind}),
            "controls": template.controls.model_copy(update={"problems": []}),
            "complete": True,
            "baseline_id": baseline,
        }
    )


def found(records, drops=None):
    table = rows(records, records, board_controls(records, records), drops or {})
    return {row.label: standing for row, standing in zip(table, standings(table))}


def test_only_what_lies_beyond_the_intervals_is_off_the_front(template):
    best = made(template, "best", 0.6, 0.8)
    near, far = made(template, "near", 0.63, 0.77), made(template, "far", 0.8, 0.6)
    assert found([best, near, far]) == {
        "best": Standing.FRONT,
        "near": Standing.UNDECIDED,
        "far": Standing.DOMINATED,
    }


def test_less_risk_for_less_utility_is_not_off_the_front_however_far(template):
    apart = [made(template, "safe", 0.5, 0.5), made(template, "useful", 0.95, 0.9)]
    assert set(found(apart).values()) == {Standing.FRONT}
    # Much more risk, and a utility that may as well be higher: undecided.
    risky = made(template, "risky", 0.95, 0.49)
    assert found([apart[0], risky])["risky"] is Standing.UNDECIDED


def test_paired_drops_decide_what_the_intervals_of_the_figures_do_not(template):
    small = Interval(value=0.03, low=0.025, high=0.035)
    large = Interval(value=0.06, low=0.055, high=0.065)
    base = made(template, "undefended", 0.66, 0.83, kind="none")
    best = made(template, "best", 0.60, 0.80, fall=small, baseline="undefended")
    near = made(template, "near", 0.63, 0.77, fall=large, baseline="undefended")
    drops = {
        ("best", worst_retrieval): metrics.Interval(0.06, 0.055, 0.065),
        ("near", worst_retrieval): metrics.Interval(0.03, 0.025, 0.035),
    }
    records = [base, best, near]
    assert found(records)["near"] is Standing.UNDECIDED
    assert found(records, drops)["near"] is Standing.DOMINATED
    assert found(records, drops)["undefended"] is Standing.FRONT
    # Drops against different undefended runs are not comparable.
    other = near.model_copy(update={"baseline_id": "another"})
    assert found([*records[:2], other], drops)["near"] is Standing.UNDECIDED


def test_equal_rows_never_put_each_other_off(template):
    twins = [made(template, name, 0.7, 0.7) for name in ("one", "other")]
    assert set(found(twins).values()) == {Standing.FRONT}


def test_what_is_not_sound_or_not_measured_is_on_no_front_and_puts_nobody_off(template):
    far = made(template, "far", 0.8, 0.6)
    best = made(template, "best", 0.6, 0.8).model_copy(update={"complete": False})
    unmeasured = made(template, "unmeasured", 0.5, 0.9).model_copy(update={"utility": None})
    assert found([far, best, unmeasured]) == {
        "far": Standing.FRONT,
        "best": Standing.DOMINATED,
        "unmeasured": Standing.DOMINATED,
    }
