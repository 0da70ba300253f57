"""Strata of genuine pairs: tables, and plots like Figure 4 of the 2022 paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from reidbench import metrics
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, Decision, Record, Stratification, StratumRates, VerificationMetrics
from reidbench.report.figures.formats import figure, number
from reidbench.report.figures.strata import THRESHOLDS, Threshold, stratification_title
from reidbench.report.figures.summary import defense_label, short_rung, worst_verification
from reidbench.report.pictures.plots import COLOURS, error_bars
from reidbench.report.text.markup.markdown import markdown_table
from reidbench.report.text.markup.tables import plain_table, report_console

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class StratumLine:
    """One stratum of one property, at one threshold.

    Attributes:
        by: the property that divides the pairs.
        stratum: its name, pairs and patients.
        tpr: share of its genuine pairs accepted, with the 95 % interval over patients.
        tpr_pairs: with Wilson's interval, as if pairs were independent.
    """

    by: str
    stratum: StratumRates
    tpr: Interval | None
    tpr_pairs: metrics.Interval | None


def stratified_attack(record: Record, attacker: str | None = None) -> Attack | None:
    """The attack of a record whose strata are shown: the highest AUC on random (or listed) negatives.

    Args:
        attacker: of this attacker alone; None for any.
    """
    attacks = [
        attack
        for attack in record.attacks
        if isinstance(attack.metrics, VerificationMetrics)
        and attack.metrics.strata is not None
        and attacker in (None, attack.attacker)
    ]
    worst = worst_verification(record.model_copy(update={"attacks": attacks}))
    return worst.attack if worst else None


def lines(attack: Attack, threshold: Threshold = "calibrated") -> list[StratumLine]:
    """Every stratum of an attack with its rate, in order; empty if the record contains no strata."""
    found = []
    for name, by in _strata(attack).items():
        for stratum in by.strata:
            tpr: Interval | None = getattr(stratum, threshold)
            pairs = None
            if tpr is not None and tpr.value is not None:
                pairs = metrics.wilson_interval(round(tpr.value * stratum.pairs), stratum.pairs)
            found.append(StratumLine(stratification_title(name), stratum, tpr, pairs))
    return found


def missing(attack: Attack) -> list[str]:
    """What the strata lack, one line each: columns missing from the table, and pairs with unknown values."""
    said = []
    for name, by in _strata(attack).items():
        if by.missing is not None:
            said.append(f"{stratification_title(name)}: {by.missing}")
        elif by.unknown:
            said.append(f"{stratification_title(name)}: unknown of {by.unknown:,} genuine pairs")
    return said


def markdown(attack: Attack, threshold: Threshold = "calibrated") -> str:
    """The strata as a Markdown table, with what is missing below it."""
    table = markdown_table(
        ("", "stratum", "genuine pairs", "patients", "TPR (95 % over patients)", "95 % over pairs"),
        (
            (
                line.by,
                line.stratum.name,
                f"{line.stratum.pairs:,}",
                f"{line.stratum.patients:,}",
                figure(line.tpr),
                _between(line.tpr_pairs),
            )
            for line in lines(attack, threshold)
        ),
        right=4,
    )
    said = [f"{line}." for line in missing(attack)]
    text = [f"True positive rate, {_setting(attack, threshold)}.", "", *table, *([""] if said else []), *said]
    return "\n".join(text) + "\n"


def plot(attack: Attack, threshold: Threshold = "calibrated") -> Figure:
    """The strata as a plotly figure, one panel per property; bars are the 95 % interval over patients."""
    from plotly.graph_objects import Figure, Scatter
    from plotly.subplots import make_subplots

    shown = {name: by for name, by in _strata(attack).items() if by.strata}
    if not shown:
        return Figure(layout={"title": {"text": "No strata"}})
    panels: Figure = make_subplots(
        rows=1,
        cols=len(shown),
        shared_yaxes=True,
        subplot_titles=[stratification_title(name) for name in shown],
        column_widths=[max(4, len(by.strata)) for by in shown.values()],
        horizontal_spacing=0.03,
    )
    by_title = lines(attack, threshold)
    for column, name in enumerate(shown, start=1):
        known = [
            line
            for line in by_title
            if line.by == stratification_title(name) and line.tpr and line.tpr.value is not None
        ]
        panels.add_trace(
            Scatter(
                x=[line.stratum.name for line in known],
                y=[line.tpr.value for line in known if line.tpr],
                error_y=error_bars([line.tpr for line in known]),
                customdata=[(line.stratum.pairs, line.stratum.patients) for line in known],
                hovertemplate="%{x}: %{y:.3f}<br>%{customdata[0]:,} pairs, %{customdata[1]:,} patients<extra></extra>",
                mode="lines+markers" if name == "age_gap" else "markers",
                marker={"color": COLOURS[0]},
                showlegend=False,
            ),
            row=1,
            col=column,
        )
        panels.update_xaxes(type="category", row=1, col=column)
    panels.update_yaxes(range=[-0.02, 1.02])
    panels.update_yaxes(title_text="true positive rate", row=1, col=1)
    panels.update_layout(title={"text": _setting(attack, threshold)}, template="plotly_white", height=380)
    return panels


def print_strata(records: Sequence[Record], console: Console | None = None) -> None:
    """Prints the strata of each record's strongest attack on random negatives."""
    console = report_console(console)
    for record in records:
        attack = stratified_attack(record)
        if attack is None:
            console.print(f"{defense_label(record)}: the record holds no strata", markup=False)
            continue
        title = f"{defense_label(record)}: true positive rate, {_setting(attack, 'calibrated')}"
        table = plain_table(title)
        for heading in ("", "stratum"):
            table.add_column(heading)
        for heading in ("pairs", "patients", "at 1 % FPR", "at 0.5"):
            table.add_column(heading, justify="right", no_wrap=True)
        above = ""
        for low, half in zip(lines(attack, "calibrated"), lines(attack, "at_half")):
            stratum = low.stratum
            counts = (f"{stratum.pairs:,}", f"{stratum.patients:,}")
            cells = (low.by if low.by != above else "", stratum.name, *counts, figure(low.tpr), figure(half.tpr))
            table.add_row(*map(Text, cells))
            above = low.by
        console.print(table)
        for line in missing(attack):
            console.print(f"  {line}", markup=False)


def _strata(attack: Attack) -> dict[str, Stratification]:
    return (attack.metrics.strata or {}) if isinstance(attack.metrics, VerificationMetrics) else {}


def _setting(attack: Attack, threshold: Threshold) -> str:
    decision: Decision | None = getattr(attack.metrics, threshold)
    at = "" if decision is None else f" ({number(decision.threshold)})"
    return f"{short_rung(attack)}, {THRESHOLDS[threshold]}{at if threshold == 'calibrated' else ''}"


def _between(interval: metrics.Interval | None) -> str:
    return "–" if interval is None else f"[{interval.low:.2f}, {interval.high:.2f}]"
