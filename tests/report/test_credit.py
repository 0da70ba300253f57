"""What is credited to the defense of a published model: figures below those of every untrained network."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidbench.records.parts.common import Interval
from reidbench.records.parts.membership import Untrained
from reidbench.records.schema import Record
from reidbench.records.store import read_record
from reidbench.report.figures.credit import MARK, comparisons, uncredited
from reidbench.report.figures.membership import untrained_line, untrained_over_seeds
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.report.text.terminal import print_summary

LOW = Interval(value=0.01, low=0.005, high=0.02)
RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"


@pytest.fixture(scope="module")
def models() -> tuple[Record, Record]:
    """The undefended model and a private one, as committed, without their control."""
    found = [read_record(path) for path in sorted(RECORDS.glob("dp_training-*.json"))]
    found = [record.model_copy(update={"untrained": None}) for record in found]
    plain = next(one for one in found if one.defense.kind == "none")
    return plain, next(one for one in found if one.baseline_id == plain.id)


def controlled(record: Record, auc: list[float], precision: list[float]) -> Record:
    kinds = {str(attack.negatives) for attack in record.attacks if attack.negatives}
    control = Untrained(auc=dict.fromkeys(kinds, auc), map_at_r_patients=precision)
    return record.model_copy(update={"untrained": control})


def test_nothing_within_the_spread_of_untrained_networks_is_credited(models, capsys):
    plain, private = models
    assert untrained_line(private) is None
    assert not uncredited(private)
    within = controlled(private, [0.763, 0.783], [0.119, 0.131])
    assert uncredited(within)
    assert len(comparisons(within)) == 3
    line = untrained_line(within)
    assert "0.763 to 0.783 untrained" in line
    assert "0.119 to 0.131 untrained" in line
    assert line.endswith(f"{MARK}: training less hides as much, and no fall is credited to the defense")
    page = render([controlled(plain, [0.763, 0.783], [0.119, 0.131]), within])["phantom-models.md"]
    assert page.count(f"| {MARK} |") == 1
    assert page.count("0.763 to 0.783 untrained") == 4
    print_summary([within])
    assert MARK in " ".join(capsys.readouterr().out.split())
    assert record_context(Kept(within, RECORDS / f"{within.stem}.json"), None)["untrained"] == line


def test_only_figures_below_every_untrained_network_and_beyond_the_interval_are_credited(models):
    _, private = models
    trained = {one.name: one.trained for one in comparisons(controlled(private, [0.5], [0.5]))}
    name = "mAP@R"
    # One that is lower than the interval's end is enough to take it back.
    above = controlled(private, [0.0], [trained[name].high + 0.001, 0.9])
    assert [one.name for one in comparisons(above) if one.credited] == [name]
    assert not uncredited(above)
    assert untrained_line(above).endswith(f"below every untrained network, beyond the interval: {name}")
    between = controlled(private, [0.0], [trained[name].high - 0.001, 0.9])
    assert uncredited(between)
    assert trained[name].value < trained[name].high - 0.001


def test_several_seeds_are_told_together(models):
    """A line that held for the first seed alone stood below rows of three."""
    plain, private = models
    first = controlled(private, [0.0], [0.5, 0.9])
    moved = [
        attack.model_copy(update={"metrics": attack.metrics.model_copy(update={"map_at_r_patients": LOW})})
        if attack.task == "retrieval"
        else attack
        for attack in private.attacks
    ]
    second = controlled(private, [0.0, 0.1], [0.4]).model_copy(update={"attacks": moved, "seed": 1, "id": "other"})
    high, low = (
        next(one.trained.value for one in comparisons(record) if one.name == "mAP@R") for record in (first, second)
    )
    assert low == LOW.value < high
    line = untrained_over_seeds([first, second])
    assert line.startswith("linking test patients, 2 seeds: AUC")
    assert f"mAP@R {(high + low) / 2:.3f} ({low:.3f} to {high:.3f}), 0.400 to 0.900 untrained (3 init" in line
    assert line.endswith("below every untrained network, beyond the interval, at all seeds: mAP@R")
    assert not uncredited(first, second)
    # The first by its AUC, the second by its mAP@R: no figure is below at both, and the status says the same.
    other = [controlled(private, [0.99], [0.0]), second]
    assert not uncredited(other[0])
    assert uncredited(*other)
    assert "no figure is below every untrained network at all seeds" in untrained_over_seeds(other)
    assert untrained_over_seeds([first]) == untrained_line(first)
    assert untrained_over_seeds([private, first]) is None
    assert not uncredited(private, first)
    assert untrained_over_seeds([controlled(plain, [0.9], [0.9])] * 2).endswith("(2 initializations)")


def test_an_undefended_model_is_compared_and_credited_with_nothing(models):
    plain, _ = models
    found = controlled(plain, [0.99], [0.99])
    assert not uncredited(found)
    assert untrained_line(found).endswith("(1 initializations)")
