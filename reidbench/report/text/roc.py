"""Points of a ROC curve and a confusion matrix as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reidbench.metrics import RocPoints
from reidbench.records.schema import Decision
from reidbench.report.figures.formats import SHOWN_RATES, number
from reidbench.report.text.markup.markdown import markdown_table


def markdown(points: RocPoints, rates: Sequence[float] = SHOWN_RATES) -> str:
    """A few points of a curve: for each requested false positive rate the one at or next below it.

    A dash where there is no interval: none was requested, or too few impostor pairs lie within the rate.
    """
    rows = []
    for rate in rates:
        place = points.place(rate)
        low, high = points.low[place], points.high[place]
        ends = "–" if np.isnan(low) else f"[{low:.2f}, {high:.2f}]"
        rows.append((f"{points.fpr[place]:.4f}", f"{points.tpr[place]:.3f}", ends))
    return "\n".join(markdown_table(("FPR", "TPR", "95 % over patients"), rows, right=3)) + "\n"


def confusion(decision: Decision) -> str:
    """The confusion matrix of one threshold."""
    rows = (
        ("one patient", f"{decision.true_positives:,}", f"{decision.false_negatives:,}"),
        ("two patients", f"{decision.false_positives:,}", f"{decision.true_negatives:,}"),
    )
    head = (f"threshold {number(decision.threshold)}", "accepted", "refused")
    return "\n".join(markdown_table(head, rows, right=2)) + "\n"
