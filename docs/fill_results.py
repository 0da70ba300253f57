"""Fills the figures of README.md and of pages of docs/ that follow from the committed records.

python docs/fill_results.py

Which rows are shown, and their labels, are typed in the tables; the figures in their cells, the conclusions and the
agreement of boards are not. Figures within sentences are typed as well: read them again when records have changed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from reidbench.records.schema import Record, RetrievalMetrics
from reidbench.records.store import read_record
from reidbench.report.figures.board.agreement import agreement
from reidbench.report.figures.board.rows import Row
from reidbench.report.figures.credit import comparisons
from reidbench.report.figures.summary import (
    audited_at,
    membership_auc,
    proved,
    utility,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.text.leaderboard import tables

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results.md"
BOARDS = ROOT / "docs" / "leaderboard.md"
MODELS = ROOT / "docs" / "model-track.md"
LEADERBOARDS = ROOT / "leaderboards"

#: By the heading of a section of docs/results.md whose table has a row for each defense: the board that it is of.
SECTIONS = {
    "What the leaderboard says": "phantom",
    "Defenses on real X-rays": "chestxray14",
    "Defenses on COVID-19": "covid19",
}
#: A figure and what stands behind it in its cell: the ends of its interval, its spread over seeds, or nothing.
Figures = tuple[float | None, ...]
#: The heading of the table of models in docs/model-track.md.
MODEL_TABLE = "Models of generated patients"
_BOARD = [
    "AUC, ignorant attackers",
    "AUC, inverting",
    "AUC, strongest attack",
    "mAP@R, strongest attack",
    "utility",
]
#: By heading, what the columns of its table are, in the order of the functions that find their figures.
COLUMNS = {
    **dict.fromkeys(SECTIONS, _BOARD),
    "Results": [_BOARD[0], *_BOARD[2:], "ChestX-ray14: AUC", "ChestX-ray14: mAP@R"],
    "On real X-rays": ["AUC", "AUC, matched", "mAP@R, by image", "Precision@1"],
    MODEL_TABLE: [
        "ε proved",
        "AUC, random pairs",
        "mAP@R",
        "AUC, untrained",
        "mAP@R, untrained",
        "membership: AUC",
        "utility",
    ],
}
CONCLUDED = ("phantom", "chestxray14", "covid19")
NUMBER = re.compile(r"-?\d\.\d+")
WIDTH = 140


def read_records() -> list[Record]:
    """The committed records."""
    return [read_record(path) for path in sorted((LEADERBOARDS / "records").glob("*.json"))]


def named(records: Sequence[Record], board: str, label: str) -> list[Record]:
    """The records, by seed, that a label names: ``dp_pix`` b 8, ε 0.3 per pixel; ``block_encrypt`` key secret."""
    found = [
        record
        for record in records
        if (record.dataset.title, record.track) == (board, "images") and is_named(record, label)
    ]
    return sorted(found, key=lambda record: record.seed)


def is_named(record: Record, label: str) -> bool:
    """Whether a label names the defense of a record, with its options."""
    (name, *_) = re.findall(r"`(\w+)`", label) or ["undefended"]
    words = re.sub(r"`\w+`", "", label).replace("ε", "epsilon").replace("∞", "inf")
    options = re.findall(r"(\w+) ([\w.]*\w)", words)
    return record.defense.name == name and all(_has(record.defense.options, *option) for option in options)


def _has(options: dict[str, object], name: str, value: str) -> bool:
    """Whether an option has the value that a label gives it; words beside the options are of none."""
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return options.get(name) == float(value)
    return name not in options or options[name] == value


def chosen(records: Sequence[Record], board: str, label: str) -> list[Record]:
    """The records of the one row that a label names, from seed 0 on.

    Raises:
        ValueError: it names none, or records of several rows.
    """
    found = named(records, board, label)
    if not found or [record.seed for record in found] != list(range(len(found))):
        raise ValueError(f"{board}: {label} names {len(found)} records, not one of each seed")
    return found


def only(record: Record, knowledge: str) -> Record:
    """The record with the attacks of one degree of knowledge alone."""
    kept = [attack for attack in record.attacks if attack.knowledge == knowledge]
    return record.model_copy(update={"attacks": kept})


def filled_cell(cell: str, figures: Sequence[float | None] | None) -> str:
    """A cell with other figures, with as many digits as there were.

    Args:
        cell: its text. One without a figure, such as a dash, gets the first one.
        figures: a figure and what stands behind it: the ends of its interval, or its spread. Those behind are left out
            where the cell has none. None where there is no figure.
    """
    if figures is None:
        return "–"
    if not NUMBER.search(cell):
        if len(figures) == 2:
            raise ValueError(f"a cell {cell!r} does not say how to write {figures}: 0.000 ± 0.000, or 0.000 to 0.000")
        return f"{figures[0]:.3f}"
    values = iter(figures)

    def filled(old: re.Match[str]) -> str:
        return f"{next(values):.{len(old[0].split('.')[1])}f}"

    return NUMBER.sub(filled, cell, count=len(figures))


def filled_table(page: str, heading: str, rows: dict[str, list[Figures | None]]) -> str:
    """A page whose first table under a heading has other figures.

    Args:
        page: its text.
        heading: of the section.
        rows: by the first cell of a row, the figures of its other cells, or of the first ones.

    Raises:
        ValueError: the table has other columns than these figures are of.
    """
    before, below = page.split(f"\n## {heading}\n")
    text, table = below.split("\n\n|", 1)
    lines, after = table.split("\n\n", 1)
    head, rule, *body = lines.split("\n")
    if [cell.strip() for cell in head.strip("|").split("|")][1:] != COLUMNS[heading]:
        raise ValueError(f"{heading}: the columns are not {COLUMNS[heading]}")
    new = [head, rule]
    for line in body:
        label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        figures = rows.get(label)
        if figures is None:
            new.append(line)
            continue
        told = [filled_cell(cell, figure) for cell, figure in zip(cells, figures, strict=False)]
        new.append("".join(f"| {cell} " if cell else "| " for cell in [label, *told, *cells[len(told) :]]) + "|")
    return f"{before}\n## {heading}\n{text}\n\n|" + "\n".join(new) + f"\n\n{after}"


def labels(page: str, heading: str) -> list[str]:
    """The first cells of the first table under a heading, without its head."""
    below = page.split(f"\n## {heading}\n")[1].split("\n\n|", 1)[1].split("\n\n")[0]
    return [line.strip("|").split("|")[0].strip() for line in below.split("\n")[2:]]


def _figures(found: object) -> Figures:
    """The figure of a strongest attack, or an interval, with its ends."""
    one = getattr(found, "figure", found)
    return one.value, one.low, one.high


def board_figures(records: Sequence[Record]) -> list[Figures]:
    """What a row of docs/results.md has: three AUCs, the strongest mAP@R, the utility of a retrained classifier.

    Means over the seeds, as on boards; the ends of an interval are those of seed 0.
    """
    found = [
        (
            worst_verification(only(record, "ignorant")),
            worst_verification(only(record, "inverting")),
            worst_verification(record),
            worst_retrieval(record),
            utility(record, "release"),
        )
        for record in records
    ]
    return [_mean([_figures(one) for one in seeds]) for seeds in zip(*found)]


def _mean(seeds: Sequence[Figures]) -> Figures:
    values = [value for value, *_ in seeds]
    return (None if None in values else fmean(value for value in values if value is not None), *seeds[0][1:])


def readme_figures(records: Sequence[Record], label: str) -> list[Figures | None]:
    """What a row of the README has: those of the phantom, and the two of ChestX-ray14 where its board has the row."""
    ignorant, _, *rest = board_figures(chosen(records, "phantom", label))
    real = named(records, "chestxray14", label)
    other = board_figures(chosen(records, "chestxray14", label))[2:4] if real else [None, None]
    return [ignorant, *rest, *other]


def attacker_figures(record: Record, attacker: str) -> list[Figures]:
    """What a row of undefended X-rays has: AUC on random and matched pairs, mAP@R over images, Precision@1."""
    found: dict[str | None, list[Figures]] = {}
    for one in record.attacks:
        if (one.attacker, one.knowledge, one.linkage) == (attacker, "ignorant", "original-released"):
            metrics = one.metrics
            ranked = isinstance(metrics, RetrievalMetrics)
            found[one.negatives] = [
                *map(_figures, [metrics.map_at_r, metrics.precision_at_1] if ranked else [metrics.auc])
            ]
    return [*found["random"], *found["matched"], *found[None]]


def model_figures(table: Sequence[Row], label: str) -> list[Figures | None]:
    """What a row of docs/model-track.md has, over the seeds of one model.

    The highest ε that is proved; the strongest AUC on random pairs and mAP@R, mean and standard deviation; the lowest
    and highest of either of untrained networks; the highest AUC of a membership attack; the mean utility.
    """
    found = [row for row in table if is_named(row.records[0], label)]
    if len(found) != 1:
        raise ValueError(f"{label} names {len(found)} models, not one")
    (row,) = found
    bound = proved(row.records, audited_at(record for one in table for record in one.records))
    beside = {
        name: [one for record in row.records for one in comparisons(record) if one.name == name]
        for name in ("AUC (random)", "mAP@R")
    }
    trained = [[one.trained.value for one in seeds] for seeds in beside.values()]
    untrained = [[value for one in seeds for value in one.untrained] for seeds in beside.values()]
    members = [auc for record in row.records if (auc := membership_auc(record)) is not None]
    return [
        (bound[0],) if bound else None,
        *((fmean(values), stdev(values)) for values in trained),
        *((min(values), max(values)) for values in untrained),
        (max(members),) if members else None,
        (row.utility("originals", "originals"),),
    ]


def conclusions(page: str) -> str:
    """docs/results.md with the conclusions that the leaderboards state."""
    before, heading, below = page.partition("## Conclusions by dataset")
    for board in CONCLUDED:
        lines = (LEADERBOARDS / f"{board}.md").read_text("utf-8").splitlines()
        (sentence,) = (line.removeprefix("Conclusion: ") for line in lines if line.startswith("Conclusion: "))
        item = textwrap.fill(
            f"- `{board}`: {sentence}",
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        start, rest = below.split(f"- `{board}`: ")
        cut = re.search(r"\n- |\n\n|\n?\Z", rest)
        assert cut is not None
        below = start + item + rest[cut.start() :]
    return before + heading + below


def agreements(page: str, records: Sequence[Record]) -> str:
    """docs/leaderboard.md with the agreement of the first tables of two boards."""
    boards = tables(list(records))

    def row(old: re.Match[str]) -> str:
        first, second = (next(iter(boards[name].values())) for name in old.groups())
        found = agreement(first, second)
        counts = {count for count, _ in found.correlations.values()}
        assert len(counts) == 1, "the figures are of different defenses"
        cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for _, one in found.correlations.values()]
        return f"| {old[1]}, {old[2]} | {counts.pop()} | {' | '.join(cells)} |"

    before, heading, below = page.partition("On the committed records:")
    table, after = below.lstrip("\n").split("\n\n", 1)
    filled = re.sub(r"\| ([\w-]+), ([\w-]+) \|.*\|", row, table)
    return f"{before}{heading}\n\n{filled}\n\n{after}"


def pages() -> dict[Path, str]:
    """The text of each page as the records have it."""
    records = read_records()
    readme, results = README.read_text("utf-8"), RESULTS.read_text("utf-8")
    rows: dict[str, list[Figures | None]]
    rows = {label: readme_figures(records, label) for label in labels(readme, "Results")}
    readme = filled_table(readme, "Results", rows)
    for heading, board in SECTIONS.items():
        rows = {label: [*board_figures(chosen(records, board, label))] for label in labels(results, heading)}
        results = filled_table(results, heading, rows)
    plain = chosen(records, "chestxray14", "`identity`")[0]
    names = {label: re.findall(r"`(\w+)`", label) for label in labels(results, "On real X-rays")}
    rows = {label: [*attacker_figures(plain, *name)] for label, name in names.items() if name}
    controls = plain.controls
    rows["raw pixels"] = [*_pairs(controls.pixels_auc), (controls.pixels_map_at_r,)]
    rows["metadata alone"] = _pairs(controls.metadata_only_auc)
    results = filled_table(results, "On real X-rays", rows)
    models = MODELS.read_text("utf-8")
    (table,) = tables(list(records))["phantom-models"].values()
    rows = {label: model_figures(table, label) for label in labels(models, MODEL_TABLE)}
    return {
        README: readme,
        RESULTS: conclusions(results),
        BOARDS: agreements(BOARDS.read_text("utf-8"), records),
        MODELS: filled_table(models, MODEL_TABLE, rows),
    }


def _pairs(auc: Mapping[str, float | None]) -> list[Figures | None]:
    return [(auc["random"],), (auc["matched"],)]


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
