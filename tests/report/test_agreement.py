"""Whether boards agree on the order of defenses: which rows count, and what is printed and written on pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import spearmanr

from reidbench.records.parts.common import Interval
from reidbench.records.store import read_record
from reidbench.report.figures.board.agreement import FIGURES, agreement
from reidbench.report.text.board.agreement import agreement_text
from reidbench.report.text.leaderboard import render, tables

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template():
    return read_record(SAMPLES / "v1-gaussian_noise.json")


def record(template, dataset, name, risk, useful, **changes):
    """A complete and sound run with this mAP@R; its AUC is higher, the less useful the release is."""
    figures = {
        "retrieval": {"map_at_r_patients": Interval(value=risk, low=None, high=None)},
        "verification": {"auc": Interval(value=1 - useful / 2, low=None, high=None), "impostor": 500},
    }
    attacks = [
        one.model_copy(update={"metrics": one.metrics.model_copy(update=figures[one.task])}) for one in template.attacks
    ]
    classifiers = [
        one.model_copy(update={"macro_auc": Interval(value=useful, low=None, high=None)})
        for one in template.utility.classifiers
    ]
    return template.model_copy(
        update={
            "id": f"{dataset}-{name}",
            "attacks": attacks,
            "complete": True,
            "baseline_id": None,
            "controls": template.controls.model_copy(update={"problems": []}),
            "utility": template.utility.model_copy(update={"classifiers": classifiers}),
            "dataset": template.dataset.model_copy(update={"name": dataset, "revision": dataset}),
            "defense": template.defense.model_copy(
                update={"name": name, "options": changes.pop("options", {"a": 1, "b": 2})}
            ),
            **changes,
        }
    )


@pytest.fixture
def records(template):
    risks = {"near": (0.9, 0.7, 0.5, 0.3, 0.2, 0.1), "far": (0.8, 0.5, 0.6, 0.3, 0.1, 0.2)}
    made = [
        record(template, dataset, f"d{number}", risk, 0.5 + 0.05 * number)
        for dataset, values in risks.items()
        for number, risk in enumerate(values)
    ]
    # These do not count: a control, one with other options, an incomplete run.
    made += [
        record(template, "near", "blackout", 0.05, 0.5),
        record(template, "far", "blackout", 0.99, 0.9),
        record(template, "near", "other", 0.4, 0.5, options={"a": 1}),
        record(template, "far", "other", 0.4, 0.5, options={"a": 2}),
        record(template, "near", "cut", 0.01, 0.5),
        record(template, "far", "cut", 0.98, 0.5, complete=False),
    ]
    return made


def test_defenses_with_the_same_options_on_both_boards_are_compared(records):
    boards = tables(records)
    [near], [far] = (boards[name].values() for name in ("near", "far"))
    found = agreement(near, far)
    assert found.defenses == tuple(f"d{number} a=1 b=2" for number in range(6))
    count, risk = found.correlations["mAP@R, strongest attack"]
    assert count == 6
    assert risk.value == pytest.approx(spearmanr((0.9, 0.7, 0.5, 0.3, 0.2, 0.1), (0.8, 0.5, 0.6, 0.3, 0.1, 0.2))[0])
    assert risk.low < risk.value <= risk.high
    assert found.correlations["utility: release"][1].value == 1
    assert set(found.correlations) == set(FIGURES)
    assert agreement(far, near).correlations["mAP@R, strongest attack"][1] == risk


def test_options_that_a_table_omits_from_its_labels_still_tell_defenses_apart(template):
    # Each table's rows share an option, which the labels leave out, and the tables differ in it.
    made = [
        record(
            template,
            dataset,
            "blur",
            0.1 * number,
            0.6,
            options={"n": number, "k": key, "x": 0, "y": 0},
            id=str(key + number),
        )
        for dataset, key in (("near", 10), ("far", 20))
        for number in range(6)
    ]
    boards = tables(made)
    [near], [far] = (boards[name].values() for name in ("near", "far"))
    assert {row.label for row in near} == {row.label for row in far}
    assert agreement(near, far).defenses == ()


def test_a_page_states_its_agreement_and_too_few_defenses_state_none(records):
    pages = render(records)
    assert "With far (6 defenses): mAP@R 0.886 [" in pages["near.md"]
    assert "With near (6 defenses): mAP@R 0.886 [" in pages["far.md"]
    few = [one for one in records if one.defense.name in {"d0", "d1", "d2", "d3"}]
    assert "Agreement" not in render(few)["near.md"]
    assert "  4 defenses on both" in agreement_text(tables(few), "near", "far")
    assert "4 subjects are too few to resample" in agreement_text(tables(few), "near", "far")
