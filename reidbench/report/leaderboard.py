"""Leaderboards: pages made from records alone, the same bytes from the same records."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from reidbench.harness.record import Record, VerificationMetrics
from reidbench.report.curve import Point
from reidbench.report.curve_svg import Panel, draw
from reidbench.report.summary import (
    Worst,
    baseline_of,
    defense_label,
    drop,
    membership_auc,
    utility,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.terminal import figure, number

CURVE = (
    "Risk, the worst-case AUC of the attacks, against utility, the macro AUC of the findings with a classifier trained "
    "on the release: a line a defense, and their Pareto front. The tables hold the figures."
)
MODEL_CURVE = (
    "Risk, the worst-case AUC of the attacks on published vectors, against utility, the macro AUC of the published "
    "model's own findings: a line a defense, and their Pareto front. The tables hold the figures."
)


@dataclass(frozen=True)
class Group:
    """Records that may share a table: one track, one dataset revision at one size, one preset with its overrides."""

    dataset: str
    revision: str
    size: int
    preset: str
    overrides: str
    track: str = "images"

    @classmethod
    def of(cls, record: Record) -> Group:
        """The table that a record belongs to."""
        data = record.dataset
        overrides = " ".join(f"{name}={value}" for name, value in sorted(record.overrides.items()))
        return cls(data.name, data.revision, data.size, record.preset, overrides, record.track)

    @property
    def title(self) -> str:
        """What its records share, in a line."""
        extra = f", {self.overrides}" if self.overrides else ""
        return f"{self.preset} preset at {self.size}²{extra}, revision {self.revision[:12]}"

    @property
    def page(self) -> str:
        """The name of its page: a track's tables are kept apart from another's."""
        return self.dataset if self.track == "images" else f"{self.dataset}-{self.track}s"

    def order(self) -> tuple[int, str, int, str]:
        """Where its table comes among those of its dataset: the strongest preset first."""
        presets = {"paper": 0, "standard": 1, "quick": 2}
        return presets.get(self.preset, 3), self.revision, -self.size, self.overrides


@dataclass(frozen=True)
class Row:
    """One defense with its options, over all its seeds.

    Attributes:
        records: a record a seed, all of one group.
        baselines: the undefended record of each, None where it is not among the records.
    """

    records: tuple[Record, ...]
    baselines: tuple[Record | None, ...]

    @property
    def label(self) -> str:
        """Name and options."""
        return defense_label(self.records[0])

    @property
    def status(self) -> str:
        """What a reader must know before comparing: ``complete``, or what is missing or wrong."""
        marks = []
        if not all(record.complete for record in self.records):
            marks.append("incomplete ladder")
        if not all(record.valid for record in self.records):
            marks.append("invalid controls")
        if any(b is None and r.defense.kind != "none" for r, b in zip(self.records, self.baselines)):
            marks.append("no undefended run")
        return ", ".join(marks) or "complete"

    def worst(self, find: Callable[[Record], Worst | None]) -> Worst | None:
        """The highest worst case over the seeds."""
        found = [worst for record in self.records if (worst := find(record)) is not None]
        return max(found, key=lambda worst: worst.value, default=None)

    def mean(self, find: Callable[[Record], Worst | None]) -> float | None:
        """The mean worst case over the seeds."""
        return _mean(worst.value if (worst := find(record)) else None for record in self.records)

    def drop(self, find: Callable[[Record], Worst | None]) -> float | None:
        """The mean drop against the undefended runs of the same seeds."""
        return _mean(
            drop(find(record), find(baseline)) if baseline else None
            for record, baseline in zip(self.records, self.baselines)
        )

    def utility(self, trained_on: str, tested_on: str) -> float | None:
        """The mean macro AUC over the seeds."""
        found = [utility(record, trained_on, tested_on) for record in self.records]
        return _mean(interval.value if interval else None for interval in found)

    def ssim(self) -> float | None:
        """The mean structural similarity over the seeds."""
        return _mean(record.utility.fidelity.ssim if record.utility else None for record in self.records)


def render(records: Sequence[Record]) -> dict[str, str]:
    """The pages of these records by file name: for each dataset ``<name>.md``, ``<name>.csv`` and ``<name>.svg``.

    Published models have pages of their own, ``<name>-models.md`` and so on. The figure is left out where no
    record has both a risk and a utility.
    """
    pages = {}
    groups: dict[Group, list[Record]] = defaultdict(list)
    for record in records:
        groups[Group.of(record)].append(record)
    for page in sorted({group.page for group in groups}):
        mine = sorted((group for group in groups if group.page == page), key=Group.order)
        tables = [(group, rows(groups[group], records)) for group in mine]
        panels = [panel for panel in (_panel(*table) for table in tables) if panel.points]
        pages[f"{page}.md"] = _markdown(page, tables, figured=bool(panels))
        pages[f"{page}.csv"] = _csv(tables)
        if panels:
            pages[f"{page}.svg"] = draw(page, panels)
    return pages


def rows(members: Sequence[Record], everything: Sequence[Record]) -> list[Row]:
    """A table's rows, the highest worst-case AUC first: from what gives patients away to what keeps them."""
    by_defense: dict[str, list[Record]] = defaultdict(list)
    for record in members:
        by_defense[defense_label(record)].append(record)
    made = []
    for seeds in by_defense.values():
        ordered = sorted(seeds, key=lambda record: (record.seed, record.created))
        made.append(Row(tuple(ordered), tuple(baseline_of(record, everything) for record in ordered)))
    return sorted(made, key=lambda row: (-(row.mean(worst_verification) or -1.0), row.label))


def write(pages: dict[str, str], folder: Path) -> list[Path]:
    """Writes pages into ``folder``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in pages.items():
        path = folder / name
        temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        paths.append(path)
    return paths


def _matched(record: Record) -> Worst | None:
    return worst_verification(record, "matched")


def _panel(group: Group, table: list[Row]) -> Panel:
    points, missing = [], []
    for row in table:
        defense = row.records[0].defense
        risk, left = row.mean(worst_verification), row.utility("release", "release")
        if risk is None or left is None:
            missing.append(row.label)
            continue
        sound = all(record.complete and record.valid for record in row.records)
        options = row.label.removeprefix(defense.name).strip()
        points.append(Point(defense.name, options, risk, left, sound, defense.kind == "none"))
    return Panel(group.title, points, missing)


INTRODUCTIONS = {
    "images": (
        "Made by `reidbench leaderboard` from the records; do not edit. The worst case is the highest figure over the",
        "attack ladder (attacker × knowledge × linkage × negatives), highest first: from what gives patients away to",
        "what keeps them. Brackets: 95 % interval, bootstrap over patients, of the strongest seed. *Matched*: impostor",
        "pairs of the same sex, age and view. *Utility*: macro AUC of the findings, tested on the release with a",
        "classifier trained on originals, and with one trained on the release. Drops are against the undefended run.",
    ),
    "model": (
        "Made by `reidbench leaderboard` from the records; do not edit. What is published here is a model and its",
        "vector of each image, and no image; these figures do not compare with those of released images. The worst",
        "case is the highest figure over the attacks on the vectors of test patients, whom no ε protects. Brackets:",
        "95 % interval, bootstrap over patients, of the strongest seed. *Utility*: macro AUC of the published model's",
        "own findings. *Membership*: the better attack's AUC in telling training patients from others. *ε*: claimed",
        "for a training patient, beside what an audit of the mechanism proves at 95 % confidence. Drops are against",
        "the same model trained without the defense.",
    ),
}


def _markdown(page: str, tables: list[tuple[Group, list[Row]]], *, figured: bool) -> str:
    track = tables[0][0].track
    lines = [f"# Leaderboard: {page}", "", *INTRODUCTIONS[track], ""]
    if figured:
        lines += [f"![{CURVE if track == 'images' else MODEL_CURVE}]({page}.svg)", ""]
    for group, table in tables:
        lines += _section(group, table)
    return "\n".join(lines).rstrip() + "\n"


def _section(group: Group, table: list[Row]) -> list[str]:
    any_record = table[0].records[0]
    data = any_record.dataset
    controls = any_record.controls
    columns = [_columns(row) if group.track == "images" else _model_columns(row) for row in table]
    lines = [
        f"## {group.title}",
        "",
        f"{data.images['train']} training images of {data.patients['train']} patients; "
        f"{data.images['test']} test images of {data.patients['test']}. "
        f"Without any network: metadata alone {_by_negatives(controls.metadata_only_auc)}, raw pixels "
        f"{_by_negatives(controls.pixels_auc)} AUC and {number(controls.pixels_map_at_r)} mAP@R.",
        "",
        "| " + " | ".join(name for name, _ in columns[0]) + " |",
        "| " + " | ".join("---" for _ in columns[0]) + " |",
    ]
    lines += ["| " + " | ".join(_cell(text) for _, text in row) + " |" for row in columns]
    return [*lines, ""]


def _columns(row: Row) -> list[tuple[str, str]]:
    auc, ranking = row.worst(worst_verification), row.worst(worst_retrieval)
    return [
        *_attack_columns(row),
        ("mAP@R, worst case", _with_mean(row, worst_retrieval, ranking)),
        ("drop", _drop(row, worst_retrieval)),
        ("by (AUC)", auc.rung if auc else "–"),
        ("utility: originals", number(row.utility("originals", "release"))),
        ("utility: release", number(row.utility("release", "release"))),
        ("SSIM", number(row.ssim())),
        ("ε", _epsilon(row.records[0])),
        ("seeds", str(len(row.records))),
        ("status", row.status),
    ]


def _model_columns(row: Row) -> list[tuple[str, str]]:
    auc, ranking = row.worst(worst_verification), row.worst(worst_retrieval)
    found = [membership_auc(record) for record in row.records]
    proved = [record.membership.audit.epsilon_lower for record in row.records if record.membership]
    return [
        *_attack_columns(row),
        ("mAP@R, worst case", _with_mean(row, worst_retrieval, ranking)),
        ("drop", _drop(row, worst_retrieval)),
        ("by (AUC)", auc.rung if auc else "–"),
        ("utility", number(row.utility("originals", "originals"))),
        ("membership", number(_mean(found))),
        ("ε", _epsilon(row.records[0])),
        ("ε, proved", number(max(proved, default=None))),
        ("seeds", str(len(row.records))),
        ("status", row.status),
    ]


def _attack_columns(row: Row) -> list[tuple[str, str]]:
    auc, matched = row.worst(worst_verification), row.worst(_matched)
    return [
        ("defense", row.label),
        ("AUC, worst case", _with_mean(row, worst_verification, auc)),
        ("drop", _drop(row, worst_verification)),
        ("matched", number(matched.value if matched else None)),
        ("TPR at 1 % FPR", number(highest_tpr(row))),
    ]


def _drop(row: Row, find: Callable[[Record], Worst | None]) -> str:
    return number(row.drop(find)) if row.records[0].defense.kind != "none" else ""


def _with_mean(row: Row, find: Callable[[Record], Worst | None], worst: Worst | None) -> str:
    if worst is None:
        return "–"
    text = figure(worst.figure)
    return text if len(row.records) == 1 else f"{number(row.mean(find))}, max {text}"


def highest_tpr(row: Row) -> float | None:
    """The highest true positive rate at 1 % false positives over the ladder and the seeds."""
    rates = [
        attack.metrics.tpr_at_fpr_1.value
        for record in row.records
        for attack in record.attacks
        if isinstance(attack.metrics, VerificationMetrics) and attack.metrics.tpr_at_fpr_1.value is not None
    ]
    return max(rates, default=None)


def _epsilon(record: Record) -> str:
    claimed = record.defense.privacy
    return f"{claimed.epsilon:g} ({claimed.unit})" if claimed else ""


def _by_negatives(figures: dict[str, float | None]) -> str:
    return ", ".join(f"{number(value)} ({negatives})" for negatives, value in figures.items())


def _cell(text: str) -> str:
    # Names and units come from plugins: they must not break the table or bring markup of their own.
    for raw, safe in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("\n", " "),
        ("`", "\\`"),
        ("_", "\\_"),
    ):
        text = text.replace(raw, safe)
    return text


CSV_COLUMNS = (
    "dataset", "revision", "size", "preset", "overrides", "defense", "seeds", "status", "auc", "auc_low", "auc_high",
    "auc_drop", "auc_matched", "tpr_at_fpr_0.01", "map_at_r", "map_at_r_low", "map_at_r_high", "map_at_r_drop",
    "auc_rung", "map_at_r_rung", "utility_originals_release", "utility_release_release", "utility_release_originals",
    "ssim", "epsilon", "delta", "privacy_unit", "records",
)  # fmt: skip


def _csv(tables: list[tuple[Group, list[Row]]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for group, table in tables:
        for row in table:
            writer.writerow(["" if value is None else value for value in _csv_row(group, row)])
    return stream.getvalue()


def _csv_row(group: Group, row: Row) -> list[object]:
    auc, matched, ranking = row.worst(worst_verification), row.worst(_matched), row.worst(worst_retrieval)
    claimed = row.records[0].defense.privacy
    return [
        group.dataset, group.revision, group.size, group.preset, group.overrides, row.label, len(row.records),
        row.status,
        *_values(row.mean(worst_verification), auc), row.drop(worst_verification), matched.value if matched else None,
        highest_tpr(row), *_values(row.mean(worst_retrieval), ranking), row.drop(worst_retrieval),
        auc.rung if auc else None, ranking.rung if ranking else None, row.utility("originals", "release"),
        row.utility("release", "release"), row.utility("release", "originals"), row.ssim(),
        claimed.epsilon if claimed else None, claimed.delta if claimed else None, claimed.unit if claimed else None,
        " ".join(record.id for record in row.records),
    ]  # fmt: skip


def _values(mean: float | None, worst: Worst | None) -> list[float | None]:
    return [mean, worst.figure.low if worst else None, worst.figure.high if worst else None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    # A seed without the figure makes the mean unknown: an average must not skip what is missing.
    return fmean(value for value in known if value is not None) if known and None not in known else None
