"""The attack ladder rung by rung, beside the undefended run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from reidbench.records.paired.strongest import headline
from reidbench.records.schema import Attack, Decision, Record, RetrievalMetrics, VerificationMetrics
from reidbench.records.supplements.content import source_of
from reidbench.report.figures.formats import figure as interval_text
from reidbench.report.figures.formats import number, post_processing_text, unbounded
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.figures.summary import SHORT_LINKAGE
from reidbench.report.figures.training_checks import check_text
from reidbench.report.pictures.plots import COLOURS, SYMBOLS, error_bars
from reidbench.report.site.charts import Chart, Table, figure, plain, scatter


@dataclass(frozen=True)
class Step:
    """One attack as a table shows it; cells are ready text.

    Attributes:
        attack: the attack itself.
        cells: its figures.
        drop: the fall of its headline figure against the undefended run.
        notes: warnings, such as a training that never left its starting loss.
    """

    attack: Attack
    cells: tuple[str, ...]
    drop: str
    notes: str


VERIFICATION_HEAD = (
    "AUC", "AUC, all pairs", "AUC, pairs", "EER", "TPR at 1 % FPR", "TPR at 0.1 % FPR", "FPR*", "precision*", "recall*",
)  # fmt: skip
RETRIEVAL_HEAD = ("mAP@R, by patient", "by image", "R-Precision", "Precision@1", "found by every image")


def verification_steps(record: Record, baseline: Record | None) -> list[Step]:
    """The verification attacks, with their figures."""
    steps, before = [], _by_rung(baseline)
    for attack in record.attacks:
        m = attack.metrics
        if isinstance(m, VerificationMetrics):
            decided = m.calibrated
            cells = (
                interval_text(m.auc), number(m.auc_all_pairs), interval_text(m.auc_pairs), interval_text(m.eer),
                interval_text(m.tpr_at_fpr_1), interval_text(m.tpr_at_fpr_01), number(_false_positives(decided)),
                number(decided.precision if decided else None), number(decided.recall if decided else None),
            )  # fmt: skip
            steps.append(Step(attack, cells, number(_drop(attack, before)), _notes(attack)))
    return steps


def _false_positives(decided: Decision | None) -> float | None:
    """The rate that a threshold has on test pairs, which is not the rate that it was set for."""
    return None if decided is None or decided.specificity is None else 1 - decided.specificity


def unbounded_rates(record: Record) -> str:
    """Why true positive rates of the ladder have no interval; empty if all have one."""
    return unbounded(
        rate
        for attack in record.attacks
        if isinstance(attack.metrics, VerificationMetrics)
        for rate in (attack.metrics.tpr_at_fpr_1, attack.metrics.tpr_at_fpr_01)
    )


def retrieval_steps(record: Record, baseline: Record | None) -> list[Step]:
    """The retrieval attacks, with their figures."""
    steps, before = [], _by_rung(baseline)
    for attack in record.attacks:
        m = attack.metrics
        if isinstance(m, RetrievalMetrics):
            cells = (
                interval_text(m.map_at_r_patients), interval_text(m.map_at_r), interval_text(m.r_precision),
                interval_text(m.precision_at_1), interval_text(m.risk.found_by_every_image),
            )  # fmt: skip
            steps.append(Step(attack, cells, number(_drop(attack, before)), _notes(attack)))
    return steps


def supplied_steps(record: Record, baseline: Record | None) -> dict[str, list[Step]]:
    """The attacks of a record's supplements by task, with their figures.

    Args:
        baseline: the undefended run with what the same supplements found on undefended images.
    """
    mine, theirs = (
        one.model_copy(update={"attacks": list(one.supplied)}) if one else None for one in (record, baseline)
    )
    if mine is None or not mine.attacks:
        return {}
    return {"verification": verification_steps(mine, theirs), "retrieval": retrieval_steps(mine, theirs)}


def rung_label(attack: Attack) -> str:
    """``informed, original-released, random, by retrieval``, and the supplement that it is of."""
    source = source_of(attack)
    told = source.text if source else None
    parts = (attack.knowledge, attack.linkage, attack.negatives, f"by {attack.attacker}", told)
    return ", ".join(part for part in parts if part)


def ladder_chart(record: Record, baseline: Record | None) -> Chart | None:
    """Every attack's headline figure with its interval, and the figure of the same attack without a defense."""
    series: dict[str, list[Attack]] = defaultdict(list)
    for attack in record.attacks:
        if headline(attack).value is not None:
            name = "mAP@R" if attack.task == "retrieval" else f"AUC, {attack.negatives} impostors"
            series[name].append(attack)
    traces, rows, before = [], [], _by_rung(baseline)
    for position, (name, attacks) in enumerate(series.items()):
        labels = [_short_label(a) for a in attacks]
        figures = [headline(a) for a in attacks]
        if baseline is not None:
            others = [before.get(_rung(a)) for a in attacks]
            hollow = {"symbol": f"{SYMBOLS[position]}-open", "size": 10, "color": COLOURS[6]}
            traces.append(
                scatter(
                    x=[headline(o).value if o else None for o in others],
                    y=labels,
                    mode="markers",
                    name=f"{plain(name)}, undefended",
                    marker=hollow,
                )
            )
        traces.append(
            scatter(
                x=[f.value for f in figures],
                y=labels,
                mode="markers",
                name=plain(name),
                marker={"symbol": SYMBOLS[position], "size": 9, "color": COLOURS[position]},
                error_x=error_bars(figures) | {"thickness": 1.5},
            )
        )
        for attack, f in zip(attacks, figures):
            other = before.get(_rung(attack))
            rows.append((rung_label(attack), name, interval_text(f), interval_text(headline(other)) if other else "–"))
    if not rows:
        return None
    names = {_short_label(attack) for attacks in series.values() for attack in attacks}
    spec = figure(
        traces,
        height=180 + 38 * len(names),
        xaxis={"title": {"text": "AUC, mAP@R"}, "range": [0, 1.02]},
        yaxis={"tickfont": {"size": 11}, "autorange": "reversed", "automargin": True, "type": "category"},
    )
    return Chart(
        "ladder",
        "The ladder",
        "Each attack's figure with its 95 % interval (bootstrap over patients); hollow: the same attack on the "
        "undefended images. o→r: a known original against the released set; r→r: two released images.",
        spec,
        Table(("attack", "figure", "value", "undefended"), tuple(rows)),
    )


def _short_label(attack: Attack) -> str:
    """Two short lines for an axis, so that labels fit on a phone."""
    return f"{attack.knowledge} {SHORT_LINKAGE[attack.linkage]}<br>{plain(attack.attacker)}"


def _rung(attack: Attack) -> tuple[str, str]:
    return attack.task, key_of(attack)


def _by_rung(baseline: Record | None) -> dict[tuple[str, str], Attack]:
    """The attacks of the undefended run, of several on one rung the first."""
    return {_rung(attack): attack for attack in reversed(baseline.attacks)} if baseline else {}


def _drop(attack: Attack, baseline: Mapping[tuple[str, str], Attack]) -> float | None:
    before = baseline.get(_rung(attack))
    now = headline(attack).value
    then = headline(before).value if before else None
    return None if now is None or then is None else then - now


def _notes(attack: Attack) -> str:
    if attack.post_processing is not None:
        return post_processing_text(attack.post_processing)
    if not attack.learned:
        return "training ended no better than it began"
    notes = ["training was still improving"] if attack.training is not None and attack.training.still_improving else []
    if attack.check is not None and attack.check.verdict is not None:
        notes.append(check_text(attack.check))
    return "; ".join(notes)
