"""The table at the end of a run: whole in 80 columns, never wider than 100, no colour where none is wanted."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from reidbench.records.parts.common import Interval
from reidbench.records.store import read_record
from reidbench.report.figures.formats import figure, number, unbounded
from reidbench.report.figures.summary import worst_retrieval, worst_verification
from reidbench.report.text.terminal import print_summary

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def record():
    sample = read_record(SAMPLES / "v1-strata.json")
    options = {"sigma": 0.1, "mode": "a_long_value_of_an_option"}
    named = sample.defense.model_copy(update={"name": "a_defense_with_a_long_name", "options": options})
    return sample.model_copy(update={"defense": named, "complete": False, "baseline_id": sample.id})


def printed(record, width: int, **options) -> str:
    stream = io.StringIO()
    base = record.model_copy(update={"id": record.baseline_id})
    print_summary([base, record], Console(file=stream, width=width, force_terminal=True, highlight=False, **options))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 96, 100, 250])
def test_the_table_is_whole_and_at_most_100_wide(record, width):
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(record, width))
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= min(100, max(width, 78))
    # No figure and no name is cut short.
    assert "…" not in text
    auc, ranking = worst_verification(record).figure, worst_retrieval(record).figure
    shown = figure if width >= 96 else (lambda interval: number(interval.value))
    row = next(line for line in lines if line.strip().startswith("a_defense"))
    assert shown(auc) in row
    assert shown(ranking) in row
    assert "0.000" in row
    assert "incomplete" in text


def test_no_color_has_none(record, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", printed(record, 100)))
    # Bold and italics are no colours.
    assert codes <= {"0", "1", "3"}


def test_several_seeds_have_a_row_each_and_mean_spread_and_maximum_below(record):
    def at(seed: int, rise: float):
        attacks = [
            attack.model_copy(
                update={
                    "metrics": attack.metrics.model_copy(
                        update={"auc": Interval(value=attack.metrics.auc.value - rise, low=0.1, high=0.9)}
                    )
                }
            )
            if attack.task == "verification"
            else attack
            for attack in record.attacks
        ]
        return record.model_copy(update={"seed": seed, "id": f"seed{seed}", "attacks": attacks})

    stream = io.StringIO()
    records = [at(seed, rise) for seed, rise in enumerate((0.0, 0.03, 0.06))]
    print_summary(records, Console(file=stream, width=100, highlight=False))
    text = " ".join(stream.getvalue().split())
    highest = worst_verification(record).value
    assert [text.count(f"(seed {seed})") for seed in range(3)] == [1, 1, 1]
    assert f"over 3 seeds: AUC {highest - 0.03:.3f} ± 0.030, max {highest:.3f} [0.100, 0.900]" in text
    assert f"over 3 seeds: mAP@R {worst_retrieval(record).value:.3f} ± 0.000, max" in text
    assert "seeds" not in printed(record, 100)


def test_brackets_and_colons_of_names_are_printed_as_they_stand(record):
    options = {"path": "[/data/x]", "text": "[red]gone", "mark": ":x:"}
    data = record.dataset.model_copy(update={"name": "[/b] [bold]data"})
    odd = record.model_copy(
        update={"dataset": data, "defense": record.defense.model_copy(update={"name": "odd", "options": options})}
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(odd, 100))
    assert text.startswith("[/b] [bold]data, 43 test images")
    for name, value in options.items():
        # In the table, and in the notes below it.
        assert text.count(f"{name}={value}") >= 2


@pytest.mark.parametrize(("value", "low", "high"), [(0.998, 0.9956, 0.9999), (0.9996, 0.9994, 0.9998), (0.0, 0.0, 0.0)])
def test_a_figure_lies_within_its_interval_as_it_is_printed(value, low, high):
    shown = [float(part) for part in re.findall(r"[0-9.]+", figure(Interval(value=value, low=low, high=high)))]
    assert shown[1] <= shown[0] <= shown[2]


def test_a_zero_has_no_minus():
    assert number(-0.0001) == "0.000"
    assert figure(Interval(value=-0.0004, low=-0.004, high=-0.0001)) == "0.000 [-0.004, 0.000]"
    assert figure(Interval(value=-0.02, low=-0.03, high=-0.01)) == "-0.020 [-0.030, -0.010]"


def test_a_figure_without_an_interval_has_a_dagger_where_there_is_a_reason():
    few = Interval(value=0.25, low=None, high=None, why_unbounded="99 pairs are too few")
    plain = Interval(value=0.25, low=None, high=None)
    assert (figure(few), figure(plain)) == ("0.250 †", "0.250")
    assert unbounded([few, plain, few]) == "† 99 pairs are too few."
    assert unbounded([plain]) == ""


def test_what_all_rows_of_a_defense_share_stands_below_the_table(record):
    def net(weight, name):
        options = {"epochs": 4, "warmup": 3, "grid": 8, "weight": weight}
        defense = record.defense.model_copy(update={"name": "net", "options": options})
        return record.model_copy(update={"id": name, "defense": defense})

    stream = io.StringIO()
    print_summary([net(0.1, "a"), net(3.0, "b")], Console(file=stream, width=100, highlight=False))
    text = stream.getvalue()
    assert text.count("epochs=4") == 1
    assert "  in all of these rows: net epochs=4 warmup=3 grid=8\n" in text
    assert text.count("net weight=0.1") == text.count("net weight=3.0") == 2
