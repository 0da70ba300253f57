"""The published figures hold together: each row of Table 1 says the same thing several times over."""

from __future__ import annotations

import pytest

from reidbench.studies.paper import facts


@pytest.mark.parametrize("row", facts.TABLE_1, ids=lambda row: row.label)
def test_a_row_of_table_1_contradicts_itself_nowhere(row):
    figures = {name: float(row.figures[name]) for name in facts.VERIFICATION}
    recall, specificity = figures["recall"], figures["specificity"]
    # Balanced pairs: everything follows from recall and specificity, but for rounding.
    assert figures["accuracy"] == pytest.approx((recall + specificity) / 2, abs=1e-4)
    assert figures["precision"] == pytest.approx(recall / (recall + 1 - specificity), abs=1.5e-4)
    precision = figures["precision"]
    assert figures["f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1.5e-4)


def test_the_counts_of_figure_3_give_table_1_back():
    counts = {name: int(text.replace(",", "")) for name, text in facts.confusion(facts.BEST).items()}
    assert sum(counts.values()) == facts.TEST_PAIRS
    accuracy = (counts["true_positives"] + counts["true_negatives"]) / facts.TEST_PAIRS
    assert accuracy == pytest.approx(float(facts.BEST.figures["accuracy"]), abs=1e-4)


def test_the_splits_are_those_of_the_paper():
    assert sum(images for images, _ in facts.CHESTXRAY14.values()) == 112_120
    assert sum(patients for _, patients in facts.CHESTXRAY14.values()) == 30_805
