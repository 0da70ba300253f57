"""The 2022 paper's tables and figures beside the same of this run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reidbench.errors import ReidbenchError, did_you_mean
from reidbench.records.schema import Attack, Decision, VerificationMetrics
from reidbench.records.scores import RunScores
from reidbench.studies.explain import Explained
from reidbench.studies.paper import facts
from reidbench.studies.paper.study import Cell, Study, Task

ELSEWHERE = ("chexpert", "covid19")


@dataclass(frozen=True)
class TableLine:
    """One row, published and here.

    Attributes:
        label: what it is of.
        published: figures as printed, by column; a column that is missing is not stated.
        here: the same of this run, by column; None where it was not measured.
        note: why not.
    """

    label: str
    published: Mapping[str, str] = field(default_factory=dict)
    here: Mapping[str, Cell] | None = None
    note: str = ""


@dataclass(frozen=True)
class TablePlan:
    """How one of the 2022 paper's tables or figures is made.

    Attributes:
        title: what it shows.
        task: the attacker that it takes.
        columns: headings, by the name of a figure.
        lines: makes the rows.
        beside: the one column of which something is published, to stand in the same row; None for rows of their own.
        note: how the published figures are to be read.
        drawn: what is drawn beside the rows: nothing, the attack's curves and rates, or attention maps.
    """

    title: str
    task: Task
    columns: Mapping[str, str]
    lines: Callable[[Study], Sequence[TableLine]]
    beside: str | None = None
    note: str = ""
    drawn: Literal["nothing", "attack", "maps"] = "nothing"


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A table or figure of the 2022 paper beside this run's.

    Attributes:
        what: which.
        plan: its title and columns.
        lines: the rows.
        seen: what share of the data this run saw, a line each.
        notes: what else is to be known of the data, a line each.
        attack, scores: the attack that is drawn, with its metrics, and its scores; else None.
        maps: the attention maps that are drawn; none of others.
    """

    what: str
    plan: TablePlan
    lines: tuple[TableLine, ...]
    seen: tuple[str, ...]
    notes: tuple[str, ...]
    attack: Attack | None = None
    scores: RunScores | None = None
    maps: tuple[Explained, ...] = ()


def plan_of(what: str) -> TablePlan:
    """The plan of a table or figure.

    Raises:
        ReidbenchError: there is none of this name.
    """
    if what not in PLANS:
        raise ReidbenchError(f"reproduce {what!r}: there is no such table or figure; {did_you_mean(what, PLANS)}")
    return PLANS[what]


def reproduce(what: str, study: Study) -> Reproduction:
    """Makes one table or figure.

    Raises:
        ReidbenchError: there is none of this name, or the data cannot give it.
    """
    plan = plan_of(what)
    lines = tuple(plan.lines(study))
    attack, scores = study.verified if plan.drawn == "attack" else (None, None)
    maps = tuple(study.explained) if plan.drawn == "maps" else ()
    notes = (*([plan.note] if plan.note else []), *study.notes)
    return Reproduction(what, plan, lines, tuple(study.seen), notes, attack, scores, maps)


def _table_1(study: Study) -> list[TableLine]:
    lines = [TableLine(f"ChestX-ray14, {row.label}", row.figures) for row in facts.TABLE_1]
    return [*lines, _line(_tested(study), {}, study.here("verification"))]


def _table_2(study: Study) -> list[TableLine]:
    return [
        _line(facts.WITH, facts.TABLE_2[facts.WITH], study.here("verification", True)),
        _line(facts.WITHOUT, facts.TABLE_2[facts.WITHOUT], study.here("verification", False)),
        *(_line(facts.title(name), facts.TABLE_2[name], study.elsewhere("verification", name)) for name in ELSEWHERE),
    ]


def _table_3(study: Study) -> list[TableLine]:
    own = study.experiment.cohort.name == "chestxray14"
    size = study.settings.size
    others = [width for width in facts.TABLE_3 if isinstance(width, int) and not (own and width == size)]
    lines = [TableLine(f"ChestX-ray14, {width}²", facts.TABLE_3[width]) for width in others]
    lines.append(_line(_tested(study), facts.TABLE_3.get(size, {}) if own else {}, study.here("retrieval")))
    for name in ELSEWHERE:
        found = study.elsewhere("retrieval", name)
        lines.append(_line(f"{facts.title(name)}, {size}² (theirs: original size)", facts.TABLE_3[name], found))
    return lines


def _table_4(study: Study) -> list[TableLine]:
    return [
        _line(facts.WITH, facts.TABLE_4[facts.WITH], study.here("retrieval", True)),
        _line(facts.WITHOUT, facts.TABLE_4[facts.WITHOUT], study.here("retrieval", False)),
    ]


def _figure_2(study: Study) -> list[TableLine]:
    found = _metrics(study)
    return [
        TableLine(
            "area under the curve, all pairs",
            {"value": facts.BEST.figures["auc_all_pairs"]},
            {"value": found.auc_all_pairs},
        ),
        TableLine("area under the curve, exchanged pairs", {}, {"value": found.auc}),
        TableLine("equal error rate", {}, {"value": found.eer}),
        TableLine("TPR at 1 % FPR", {}, {"value": found.tpr_at_fpr_1}),
        TableLine("TPR at 0.1 % FPR", {}, {"value": found.tpr_at_fpr_01}),
    ]


def _figure_3(study: Study) -> list[TableLine]:
    found = _metrics(study)
    return [
        _confusion("threshold 0.5", found.at_half, facts.confusion(facts.BEST)),
        _confusion("threshold for 1 % false positives on validation pairs", found.calibrated, {}),
    ]


def _figure_4(study: Study) -> list[TableLine]:
    lines = []
    for name, by in (_metrics(study).strata or {}).items():
        words = name.replace("_", " ")
        if by.missing:
            lines.append(TableLine(words, {}, None, by.missing))
        for stratum in by.strata:
            stated = facts.FIGURE_4_AGE_GAP.get(stratum.name) if name == "age_gap" else None
            cells: dict[str, Cell] = {key: getattr(stratum, key) for key in _RATES}
            lines.append(TableLine(f"{words}: {stratum.name}", {"at_half": stated} if stated else {}, cells))
    return lines


def _figure_6(study: Study) -> list[TableLine]:
    lines = []
    for pair in study.explained:
        truth = "one patient" if pair.same else "two patients"
        seen = pair.views[0]
        cells: dict[str, Cell] = {"score": seen.attention.score, "threshold": seen.threshold}
        lines.append(TableLine(f"{pair.why} ({truth}): {pair.image_a} and {pair.image_b}", {}, cells))
    return lines


def _metrics(study: Study) -> VerificationMetrics:
    found = study.verified[0].metrics
    assert isinstance(found, VerificationMetrics)
    return found


def _confusion(label: str, decision: Decision | None, published: Mapping[str, str]) -> TableLine:
    if decision is None:
        return TableLine(label, published, None, "there is no such threshold")
    return TableLine(label, published, {name: getattr(decision, name) for name in _COUNTS})


def _line(label: str, published: Mapping[str, str], found: Mapping[str, Cell] | str) -> TableLine:
    return TableLine(label, published, None, found) if isinstance(found, str) else TableLine(label, published, found)


def _tested(study: Study) -> str:
    return f"{facts.title(study.experiment.cohort.name)}, {study.settings.size}²"


_VERIFIED = {
    "auc_all_pairs": "AUC, all pairs",
    "auc": "AUC, exchanged pairs (95 % over patients)",
    "auc_pairs": "the same (95 % over pairs)",
    "accuracy": "accuracy",
    "specificity": "specificity",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "pairs": "pairs",
}
_RANKED = {
    "map_at_r": "mAP@R (95 % over patients)",
    "r_precision": "R-Precision",
    "precision_at_1": "Precision@1",
    "chance": "mAP@R by chance",
    "queries": "queries",
    "gallery": "gallery",
}
_COUNTS = {
    "true_positives": "one patient, accepted",
    "false_negatives": "one patient, refused",
    "false_positives": "two patients, accepted",
    "true_negatives": "two patients, refused",
}
_RATES = {"at_half": "TPR at 0.5", "calibrated": "TPR at 1 % FPR", "pairs": "genuine pairs", "patients": "patients"}

PLANS: Mapping[str, TablePlan] = {
    "table1": TablePlan("Table 1: verification", "verification", _VERIFIED, _table_1),
    "table2": TablePlan("Table 2: verification without fine-tuning", "verification", _VERIFIED, _table_2),
    "table3": TablePlan("Table 3: retrieval", "retrieval", _RANKED, _table_3),
    "table4": TablePlan("Table 4: retrieval with and without foreign material", "retrieval", _RANKED, _table_4),
    "fig2": TablePlan(
        "Figure 2: ROC curve of verification",
        "verification",
        {"value": "this run"},
        _figure_2,
        beside="value",
        note="published: the last row of their Table 1; the curves themselves are not stated as numbers",
        drawn="attack",
    ),
    "fig3": TablePlan(
        "Figure 3: confusion matrix of verification",
        "verification",
        _COUNTS,
        _figure_3,
        note="published: what recall and specificity in the last row of their Table 1 come to with 50,000 pairs each",
        drawn="attack",
    ),
    "fig4": TablePlan(
        "Figure 4: true positive rates by what lies between two visits",
        "verification",
        _RATES,
        _figure_4,
        beside="at_half",
        note="published: pairs under one year and twelve years apart; the last stratum here has longer gaps too",
        drawn="attack",
    ),
    "fig6": TablePlan(
        "Figures 6 and 7: what verification looks at, at the first convolution and at one half-way",
        "verification",
        {"score": "score", "threshold": "threshold for 1 % false positives on validation pairs"},
        _figure_6,
        note="published: pictures alone, of other pairs; there is no number to set beside. The maps are in fig6.png",
        drawn="maps",
    ),
}
