"""ROC curves and confusion matrices from a record and the scores beside it, as Figures 2 and 3 of the 2022 paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from reidbench import metrics
from reidbench.metrics import RocPoints
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.schema import Decision
from reidbench.records.scores import RunScores
from reidbench.report.pictures.plots import COLOURS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# A band needs fewer resamplings than an interval that is printed to the third digit.
BAND_RUNS = 300


def curve(scores: RunScores, attack: str, *, runs: int = BAND_RUNS) -> RocPoints | None:
    """The ROC curve of one attack with its band over patients.

    Args:
        scores: the scores beside the record.
        attack: its key, with the negatives.
        runs: bootstrap runs of the band; 0 for no band.

    Returns:
        The curve; None if the scores lack the attack, or its pairs are all genuine or all impostor pairs.
    """
    negatives = attack.rsplit("/", 1)[1]
    if attack not in scores.verification or negatives not in scores.pairs:
        return None
    a, b, same = scores.pairs[negatives]
    if metrics.why_undefined(same) is not None:
        return None
    values, truth = scores.verification[attack], same.astype(bool)
    if not runs:
        return metrics.roc_points(values, truth)
    return metrics.bootstrap_roc_patients(
        values, truth, scores.patients[a], scores.patients[b], runs=runs, seed=BOOTSTRAP_SEED
    )


def plot(curves: Mapping[str, RocPoints]) -> Figure:
    """Curves with their bands on linear axes, and beside them with a logarithmic axis that shows low rates."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    panels: Figure = make_subplots(rows=1, cols=2, subplot_titles=["ROC", "log-ROC"], shared_yaxes=True)
    for index, (name, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        for column in (1, 2):
            # A logarithmic axis has no place for 0.
            shown = slice(0, None) if column == 1 else slice(1, None)
            fpr = points.fpr[shown]
            band = {"line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "legendgroup": name}
            # Where the band has no ends it is not drawn.
            known = ~np.isnan(points.low[shown])
            low, high = points.low[shown][known], points.high[shown][known]
            panels.add_trace(Scatter(x=fpr[known], y=low, **band), row=1, col=column)
            panels.add_trace(
                Scatter(x=fpr[known], y=high, fill="tonexty", fillcolor=f"{colour}33", **band), row=1, col=column
            )
            panels.add_trace(
                Scatter(
                    x=fpr,
                    y=points.tpr[shown],
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    line={"color": colour},
                    mode="lines",
                ),
                row=1,
                col=column,
            )
    panels.update_xaxes(title_text="false positive rate")
    panels.update_xaxes(type="log", dtick=1, exponentformat="power", row=1, col=2)
    panels.update_yaxes(title_text="true positive rate", range=[-0.02, 1.02], row=1, col=1)
    panels.update_layout(template="plotly_white", height=460)
    return panels


def plot_confusion(decisions: Mapping[str, Decision]) -> Figure:
    """Confusion matrices side by side, by the name of their threshold."""
    from plotly.graph_objects import Figure, Heatmap
    from plotly.subplots import make_subplots

    if not decisions:
        return Figure(layout={"title": {"text": "No thresholds"}})
    panels: Figure = make_subplots(rows=1, cols=len(decisions), subplot_titles=list(decisions), shared_yaxes=True)
    for column, decision in enumerate(decisions.values(), start=1):
        counts = [
            [decision.false_positives, decision.true_negatives],
            [decision.true_positives, decision.false_negatives],
        ]
        panels.add_trace(
            Heatmap(
                z=counts,
                x=["accepted", "refused"],
                y=["two patients", "one patient"],
                texttemplate="%{z:,}",
                colorscale="Blues",
                showscale=False,
            ),
            row=1,
            col=column,
        )
    panels.update_layout(template="plotly_white", height=420)
    return panels
