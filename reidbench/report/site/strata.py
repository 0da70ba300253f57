"""Stratified analyses of a record: true positive rates of genuine pairs by stratum."""

from __future__ import annotations

from typing import Any

from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, Record, Stratification, StratumRates, VerificationMetrics
from reidbench.report.figures.formats import figure as interval_text
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.figures.strata import THRESHOLDS, stratification_title
from reidbench.report.figures.summary import worst_verification
from reidbench.report.pictures.plots import COLOURS, SYMBOLS, error_bars
from reidbench.report.site.charts import Chart, Table, figure, plain, scatter
from reidbench.report.site.ladder import rung_label


def strata_charts(record: Record) -> list[Chart]:
    """Share of genuine pairs found at each threshold, by stratum, for the strongest attack with strata."""
    divided, attack = _divided(record)
    charts = []
    for name, part in divided.items():
        if attack is None or part.missing is not None or not part.strata:
            continue
        shown = [(field, words) for field, words in THRESHOLDS.items() if any(_rate(s, field) for s in part.strata)]
        if not shown:
            continue
        title = stratification_title(name)
        labels = [plain(stratum.name) for stratum in part.strata]
        traces = [_trace(part.strata, labels, field, words, i) for i, (field, words) in enumerate(shown)]
        rows = tuple(
            (s.name, str(s.pairs), str(s.patients), *(interval_text(_rate(s, field)) for field, _ in shown))
            for s in part.strata
        )
        unknown = f" Unknown for {part.unknown} pairs." if part.unknown else ""
        charts.append(
            Chart(
                f"strata-{name.replace('_', '-')}",
                title,
                f"Share of genuine pairs found by {rung_label(attack)}, with 95 % intervals over patients; from "
                f"{part.source}.{unknown}",
                figure(
                    traces,
                    xaxis={"type": "category"},
                    yaxis={"title": {"text": "true positive rate"}, "range": [0, 1.02]},
                ),
                Table(("stratum", "pairs", "patients", *(f"TPR, {words}" for _, words in shown)), rows),
            )
        )
    return charts


def without(record: Record) -> list[str]:
    """The stratifications that a record lacks, with the reason."""
    divided, _ = _divided(record)
    return [f"{stratification_title(name)}: {part.missing}" for name, part in divided.items() if part.missing]


def _divided(record: Record) -> tuple[dict[str, Stratification], Attack | None]:
    """The strata of the strongest attack with strata, and that attack; records of older versions have none."""
    having = {
        key_of(attack): (attack, attack.metrics)
        for attack in record.attacks
        if isinstance(attack.metrics, VerificationMetrics) and attack.metrics.strata
    }
    if not having:
        return {}, None
    worst = worst_verification(record)
    best = key_of(worst.attack) if worst else ""
    if best not in having:
        best = max(having, key=lambda key: having[key][1].auc.value or 0.0)
    attack, judged = having[best]
    return judged.strata or {}, attack


def _rate(stratum: StratumRates, field: str) -> Interval | None:
    return stratum.calibrated if field == "calibrated" else stratum.at_half


def _trace(strata: list[StratumRates], labels: list[str], field: str, words: str, position: int) -> Any:
    rates = [_rate(stratum, field) for stratum in strata]
    return scatter(
        x=labels,
        y=[rate.value if rate else None for rate in rates],
        name=words,
        mode="markers",
        marker={"symbol": SYMBOLS[position], "size": 9, "color": COLOURS[position]},
        error_y=error_bars(rates),
    )
