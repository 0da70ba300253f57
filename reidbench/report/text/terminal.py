"""The table at the end of a run: at most 100 columns wide, and complete in 80."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from reidbench.records.parts.common import Interval
from reidbench.records.schema import Record
from reidbench.report.figures.board.rows import Row, rows, shared_options
from reidbench.report.figures.controls import BoardControls, board_controls
from reidbench.report.figures.formats import figure, number, over_the_seeds
from reidbench.report.figures.machines import THERE, apart, apart_text
from reidbench.report.figures.membership import membership_lines, untrained_line
from reidbench.report.figures.origins import origins
from reidbench.report.figures.paired.drops import recorded_drop
from reidbench.report.figures.summary import (
    baseline_of,
    drop,
    findings_left_out,
    stand_in,
    too_low,
    utility,
    utility_fall,
    worst_all_pairs,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.figures.training_checks import badly_trained
from reidbench.report.text.markup.tables import plain_table, report_console

# Minimum widths of a table with intervals and of one without, in columns: below them the names of defenses are cut.
WITH_INTERVALS = 96
NARROWEST = 78


def print_summary(records: Sequence[Record], console: Console | None = None) -> None:
    """Prints one row per record, with attacks, drops and diagnostic utility, in one table per track."""
    for track in dict.fromkeys(record.track for record in records):
        _print_track([record for record in records if record.track == track], console)


def _print_track(records: Sequence[Record], console: Console | None) -> None:
    console = report_console(console, narrowest=NARROWEST)
    wide = console.width >= WITH_INTERVALS
    first = records[0]
    data = first.dataset
    title = (
        f"{data.name}, {data.images['test']} test images of {data.patients['test']} patients at {data.size}², "
        f"preset {first.preset}"
    )
    table = plain_table(title, show_edge=False)
    table.add_column("defense", overflow="fold", max_width=20)
    worst = ", strongest" if wide else ""
    left = ("utility*", "retrained*") if first.track == "images" else ("utility*", "claimed ε")
    for heading in (f"AUC{worst}", "drop", f"mAP@R{worst}", "drop", *left):
        table.add_column(heading, justify="right", no_wrap=True)
    controls = board_controls(records, records)
    made = rows(records, records, controls)
    # As on a leaderboard: options that all rows of a defense share would take a dozen lines per row.
    labels = {record.id: row.label for row in made for record in row.records}
    for record in records:
        cells = _row(record, labels[record.id], records, controls, figure if wide else _value_text)
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print()
    if not wide:
        console.print(
            f"  AUC and mAP@R: of the strongest tested attack; with intervals on {WITH_INTERVALS} columns and more."
        )
    console.print(
        "* macro AUC on the release of a classifier trained on originals, and of one trained on the release."
        if first.track == "images"
        else "* macro AUC of the published model's own findings.  Attacked are the vectors of the test images.",
        "  mAP@R is averaged over patients. Intervals: 95 %, over patients. Drops: against the undefended run.",
        sep="\n",
    )
    if left_out := findings_left_out(first):
        console.print(Text(f"  {left_out}"))
    if same := shared_options(made):
        console.print(Text(f"  in all of these rows: {'; '.join(same)}"))
    if told := origins(first):
        console.print(Text(f"  {told}"))
    for record in records:
        for line in _notes(record, baseline_of(record, records), controls):
            console.print(Text(f"  {labels[record.id]}: {line}"))
    for row in made:
        if row.seeds > 1:
            for line in _over_seeds(row):
                console.print(Text(f"  {row.label} over {row.seeds} seeds: {line}"))
    if controls.line:
        console.print(Text(f"  controls: {controls.line}"))


def _row(
    record: Record,
    label: str,
    records: Sequence[Record],
    controls: BoardControls,
    figure: Callable[[Interval | None], str],
) -> list[str]:
    auc, ranking = worst_verification(record), worst_retrieval(record)
    baseline = baseline_of(record, records)
    seed = f" (seed {record.seed})" if len({r.seed for r in records}) > 1 else ""
    marks = (" INVALID" if controls.of(record) else "") + ("" if record.complete else " incomplete")
    return [
        label + seed + marks,
        figure(auc.figure if auc else None),
        number(drop(auc, worst_verification(baseline)) if baseline else None),
        figure(ranking.figure if ranking else None),
        number(drop(ranking, worst_retrieval(baseline)) if baseline else None),
        number(_value(utility(record, "originals"))),
        _last(record),
    ]


def _last(record: Record) -> str:
    if record.track == "images":
        return number(_value(utility(record, "release")))
    return f"{record.defense.privacy.epsilon:.3g}" if record.defense.privacy else "∞"


def _notes(record: Record, baseline: Record | None, controls: BoardControls) -> list[str]:
    lines = [f"invalid: {problem}" for problem in controls.of(record)]
    auc, ranking = worst_verification(record), worst_retrieval(record)
    if auc and ranking:
        lines.append(f"strongest attack: {auc.rung} (AUC), {ranking.rung} (mAP@R)")
    if told := _drops(record, baseline):
        lines.append(told)
    if (area := worst_all_pairs(record)) is not None:
        lines.append(f"AUC over all pairs, as the literature counts them: {number(area)}")
    for limit in filter(None, (stand_in(record), too_low(record))):
        lines.append(limit[:1].lower() + limit[1:].removesuffix("."))
    fallen = utility_fall(record, "release") if record.defense.kind != "none" else None
    if fallen is not None and fallen.value is not None:
        lines.append(f"the utility of the retrained classifier falls by {figure(fallen)}")
    if (elsewhere := apart(record, baseline)) is not None:
        lines.append(f"computed {THERE} the undefended run: {apart_text([elsewhere])}")
    unlearned = sorted({f"{a.attacker} {a.knowledge} {a.linkage}" for a in record.attacks if not a.learned})
    if unlearned:
        lines.append(f"training ended no better than it began: {', '.join(unlearned)}")
    lines += badly_trained(record)
    if told := untrained_line(record):
        lines.append(told)
    return lines + membership_lines(record)


def _drops(record: Record, baseline: Record | None) -> str | None:
    """The drops with their intervals, which the table has no room for."""
    if baseline is None or record.drops is None:
        return None
    found = (("AUC", record.drops.auc, worst_verification), ("mAP@R", record.drops.map_at_r, worst_retrieval))
    told = [
        f"{name} {figure(stated.fall)}"
        for name, stated, find in found
        if stated is not None and recorded_drop(baseline, record, find) is not None
    ]
    return f"drops: {', '.join(told)}" if told else None


def _over_seeds(row: Row) -> list[str]:
    found = (("AUC", worst_verification), ("mAP@R", worst_retrieval))
    return [f"{name} {over_the_seeds(row, find, row.worst(find))}" for name, find in found]


def _value_text(interval: Interval | None) -> str:
    return number(_value(interval))


def _value(interval: Interval | None) -> float | None:
    return interval.value if interval else None
