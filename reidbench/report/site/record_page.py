"""The contents of the page of one record, for its template."""

from __future__ import annotations

from math import isnan
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.records.figures import interval
from reidbench.records.parts.common import Interval
from reidbench.records.parts.membership import MembershipAttack
from reidbench.records.schema import Record
from reidbench.records.scores import RunScores
from reidbench.report.figures.formats import figure, number, unbounded
from reidbench.report.figures.membership import BLIND, membership_lines, untrained_line
from reidbench.report.figures.paired.change import UNFIT, Paired
from reidbench.report.figures.paired.drops import Drops, Find, headline_drop
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.questions import HEAD, NOTE, answers
from reidbench.report.figures.summary import (
    Worst,
    defense_label,
    findings_left_out,
    short_rung,
    stand_in,
    too_low,
    utility,
    utility_fall,
    worst_matched,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.figures.supplied import FIGURES, history
from reidbench.report.figures.training_checks import badly_trained
from reidbench.report.site import evidence, ladder, strata
from reidbench.report.site.charts import Chart
from reidbench.report.text.repeat import explain_command, repeat_command


def record_context(
    kept: Kept, baseline: Kept | None, title: str | None = None, drops: Drops | None = None
) -> dict[str, Any]:
    """The variables of the template ``record.html``, except for images and the link to a leaderboard.

    Args:
        kept: the record; its scores are read if they lie beside it.
        baseline: the undefended run with its scores, if it is available.
        title: names the record in the page's title and heading; None for the defense with all of its options.
        drops: drops with an interval that were computed before; the others are computed.
    """
    both, other = kept.record, baseline.record if baseline else None
    # Ladder, curves and trainings are those of the record alone; the headline and the history have supplements too.
    record = both.with_supplied(())
    scores, missing = _scores(kept)
    undefended, _ = _scores(baseline) if baseline and baseline.record.id != record.id else (None, "")
    charts: list[Chart | None] = [ladder.ladder_chart(record, other)]
    if scores is not None:
        try:
            charts += evidence.roc_charts(record, scores, undefended)
            charts.append(evidence.rank_chart(record, scores, undefended))
        except UNFIT as error:
            scores, missing = None, f"the scores do not fit the record: {type(error).__name__}: {error}"
            charts = charts[:1]
    charts += [evidence.risk_chart(record), *strata.strata_charts(record), evidence.loss_chart(record)]
    drawn = {chart.name: chart for chart in charts if chart is not None}
    return {
        "record": record,
        "label": title or defense_label(record),
        "headline": _headline(kept, kept.counted_from(baseline) if baseline else None, drops or {}),
        "history": _history(both),
        "history_head": HISTORY_HEAD,
        "supplied": ladder.supplied_steps(both, kept.counted_from(baseline).record if baseline else None),
        "verification_head": ladder.VERIFICATION_HEAD,
        "verification": ladder.verification_steps(record, other),
        "unbounded": ladder.unbounded_rates(record),
        "retrieval_head": ladder.RETRIEVAL_HEAD,
        "retrieval": ladder.retrieval_steps(record, other),
        "charts": drawn,
        "no_scores": missing,
        "no_ranks": scores is not None and not scores.ranks,
        "baseline": other,
        "strata_missing": strata.without(record),
        "assessment": answers([record]),
        "assessment_head": HEAD,
        "assessment_note": NOTE,
        "badly_trained": badly_trained(record),
        "untrained": untrained_line(record),
        "membership": membership_lines(record),
        "membership_tables": _membership_tables(record),
        "membership_note": BLIND if record.membership and record.membership.drawn else "",
        "membership_unbounded": _unbounded_membership(record),
        "utility": _utility(record),
        "labels": _labels(record),
        "left_out": findings_left_out(record),
        "limits": [told for say in (stand_in, too_low) if (told := say(record))],
        "trainings": evidence.trainings(record),
        "repeat": repeat_command(record),
        "explain": explain_command(record, f"{record.stem}.attention.webp"),
        "number": number,
        "figure": figure,
    }


def _scores(kept: Kept) -> tuple[RunScores | None, str]:
    if kept.record.scores_sha256 is None:
        return None, "no scores were kept with this record"
    try:
        scores = kept.scores()
    except ReidbenchError as error:
        # The file belongs to another run, whose curves must not be shown here.
        return None, str(error)
    return scores, "" if scores is not None else f"{kept.record.stem}.scores.npz does not lie beside the record"


def _headline(kept: Kept, baseline: Kept | None, drops: Drops) -> list[tuple[str, str, str]]:
    """The figures at the top of the page: name, value, explanation."""
    record = kept.record
    pair = Paired(baseline, kept) if baseline is not None and record.defense.kind != "none" else None

    def worst_line(name: str, find: Find) -> tuple[str, str, str]:
        worst = find(record)
        if worst is None:
            return name, "–", "undefined"
        fallen = (drops.get((record.id, find)) or headline_drop(pair, find)) if pair else None
        text = "" if fallen is None else f"; drop {figure(interval(fallen))} against the undefended run"
        if fallen is not None and isnan(fallen.low):
            text += ", without an interval, since the two could not be paired"
        return name, figure(worst.figure), f"{ladder.rung_label(worst.attack)}{text}"

    lines = [
        worst_line("AUC, strongest attack", worst_verification),
        worst_line("AUC, strongest attack on matched negatives", worst_matched),
        worst_line("mAP@R, strongest attack", worst_retrieval),
    ]
    if record.track == "model":
        lines.append(("utility", figure(utility(record, "originals")), "macro AUC of the published model's findings"))
    for trained_on in ("release", "originals") if record.track == "images" else ():
        left = utility(record, trained_on)
        what = "macro AUC of the findings"
        if (fallen := utility_fall(record, trained_on)) is not None and record.defense.kind != "none":
            what += f"; falls by {figure(fallen)} (paired)"
        lines.append((f"utility, classifier trained on {trained_on}", figure(left), what))
    return lines


#: The heads of a history's columns.
HISTORY_HEAD = ("made", "by", *(f"{name}, strongest attack" for name in FIGURES.values()))


def _history(record: Record) -> list[tuple[str, ...]]:
    """The headline figures when the record was made and with each supplement; empty where it has none."""
    stages = history(record)
    return [
        (f"{stage.made:%Y-%m-%d %H:%M UTC}", stage.by, *map(_reached, stage.strongest, stage.rises))
        for stage in (stages if len(stages) > 1 else ())
    ]


def _reached(strongest: Worst | None, rises: bool) -> str:
    if strongest is None:
        return "–"
    return figure(strongest.figure) + (f", by {short_rung(strongest.attack)}: it rises" if rises else "")


def _unbounded_membership(record: Record) -> str:
    attacks = [attack for _, attacks in _membership_tables(record) for attack in attacks]
    return unbounded(rate for one in attacks for rate in (one.tpr_at_fpr_1, one.tpr_at_fpr_10))


def _membership_tables(record: Record) -> list[tuple[str, list[MembershipAttack]]]:
    """What was attacked, and by what: models of patients drawn at random first, where the record has these."""
    found = record.membership
    if found is None:
        return []
    tables = [(f"Telling {found.members} training patients from {found.others} of other splits", found.attacks)]
    if (drawn := found.drawn) is not None:
        half = f"the random half of {drawn.patients} patients that a model was trained on from the others"
        tables.insert(0, (f"Telling {half}, mean over {drawn.targets} models", drawn.attacks))
    return tables


def _utility(record: Record) -> list[tuple[str, str, str, str]]:
    classifiers = record.utility.classifiers if record.utility else []
    return [(c.trained_on, c.tested_on, figure(c.macro_auc), figure(c.fall)) for c in classifiers]


def _labels(record: Record) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """AUC by finding: the columns' headings, and one row per finding."""
    classifiers = record.utility.classifiers if record.utility else []
    heads = [f"{c.trained_on} → {c.tested_on}" for c in classifiers]
    names: dict[str, None] = dict.fromkeys(name for c in classifiers for name in c.per_label)
    nothing = Interval(value=None, low=None, high=None)
    return heads, [(name, [figure(c.per_label.get(name, nothing)) for c in classifiers]) for name in names]
