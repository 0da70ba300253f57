"""A leaderboard's page: one dataset revision, one preset, one track; its rows, and risk against utility."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reidbench.records.schema import Record
from reidbench.report.figures.board.pareto import pareto_front
from reidbench.report.figures.board.ranks import Influences, Rank, explained, ranks
from reidbench.report.figures.board.rows import Row, highest_tpr, rows, shared_options
from reidbench.report.figures.board.standing import Standing, standings
from reidbench.report.figures.board.tiers import Tier, half_line, tiers
from reidbench.report.figures.conclusions import conclusion
from reidbench.report.figures.controls import BoardControls, board_controls
from reidbench.report.figures.elsewhere import elsewhere
from reidbench.report.figures.formats import figure, intervals_told, number, over_the_seeds
from reidbench.report.figures.membership import untrained_over_seeds
from reidbench.report.figures.paired.drops import UNPAIRED, Drops, Find
from reidbench.report.figures.summary import (
    KNOWN,
    Worst,
    audited_at,
    epsilon,
    membership_auc,
    proved,
    worst_matched,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.figures.supplied import RAISED, raised
from reidbench.report.pictures.curve_svg import BANDS
from reidbench.report.site.charts import plain
from reidbench.report.text.leaderboard import Group

# What is published: a release of images, or a model or embeddings instead, on which no image attack can be run.
TRACKS = {"images": "released images", "model": "published models and their vectors"}


@dataclass(frozen=True)
class Cell:
    """A cell of the table: its text, and its sort key (None sorts last)."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class BoardRow:
    """A row of the table, ready to show.

    Attributes:
        row: the row of figures.
        cells: one for each column of its board.
        front: whether it lies on the Pareto front (strongest mAP@R, utility of a retrained classifier).
        options: those that its name in the table has, ``sigma=0.2``.
    """

    row: Row
    cells: tuple[Cell, ...]
    front: bool
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """One table.

    Attributes:
        group: what its records have in common.
        track: a key of :data:`TRACKS`.
        lines: rows, the highest worst case first.
        controls: the outcome of its controls.
        shared: options that the names in the table omit, one text per defense.
        chart: data of the risk–utility plot, JSON-ready.
        told: what ranks and intervals were made from, a sentence each.
        said: what follows from the rows together, or from a row and its control, a line each.
    """

    group: Group
    track: str
    lines: tuple[BoardRow, ...]
    controls: BoardControls
    shared: tuple[str, ...]
    chart: dict[str, Any]
    told: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    @property
    def supplements(self) -> list[str]:
        """A sentence, and how supplements made the figures of rows rise, one line each; empty where none did."""
        found = raised([line.row for line in self.lines])
        return [RAISED, *found] if found else []

    @property
    def any_record(self) -> Record:
        """A record of the board, for facts that all of them have in common."""
        return self.lines[0].row.records[0]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The headings of its table, each with its meaning."""
        return COLUMNS if self.track == "images" else MODEL_COLUMNS

    @property
    def title(self) -> str:
        """Dataset, preset and size in a few words."""
        extra = ", other settings" if self.group.overrides else ""
        track = "" if self.track == "images" else f", {TRACKS[self.track]}"
        return f"{self.group.dataset}, {self.group.preset} preset at {self.group.size}²{extra}{track}"

    @property
    def slug(self) -> str:
        """A file name that is unique to this board."""
        group = self.group
        marks = hashlib.sha256(repr(group).encode()).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{group.dataset}-{group.preset}-{group.size}")
        return f"{name}-{self.track}-{marks}"


COLUMNS = (
    ("defense", "name and options"),
    (
        "AUC, strongest attack",
        "of the strongest tested attack, highest over attackers, knowledge, linkage and negatives; 95 % interval over "
        "patients",
    ),
    (
        "drop",
        f"of the strongest attack's AUC against the undefended run; paired 95 % interval over patients. {UNPAIRED}",
    ),
    (
        "AUC, all pairs",
        "highest over the ladder, over all pairs of test images, as the literature counts them: another estimand than "
        "that of exchanged pairs",
    ),
    ("AUC, matched", "highest on impostor pairs of the same sex, age and view; 95 % interval over patients"),
    ("TPR at 1 % FPR", "highest over the ladder"),
    (
        "mAP@R, strongest attack",
        "averaged over patients; of the strongest tested attack, highest over the ladder; 95 % interval over patients",
    ),
    ("drop of mAP@R", "against the undefended run, as that of the AUC"),
    (
        "rank",
        "by the mAP@R of the strongest attack over patients, 1 for the highest; rows that cannot be told apart from "
        "the first of their rank share it (=); in brackets the rank in 95 % of resamples",
    ),
    (
        f"P@1, {KNOWN} known images",
        f"highest Precision@1 over the linkages if {KNOWN} images of a patient are known; patients with at least six",
    ),
    ("utility, retrained", "macro AUC of the findings on the release, classifier trained on the release"),
    (
        "drop of utility",
        "fall of the retrained macro AUC against a classifier of originals on originals; paired 95 % interval over "
        "patients, where the record has one",
    ),
    (
        "diagnosis",
        "whether the fall of the retrained macro AUC is below half of what the classifier of originals that it is "
        "counted from has above chance, with its whole interval; open where the interval does not decide, or there is "
        "none",
    ),
    ("utility, originals", "the same, classifier trained on originals"),
    ("utility, tested on originals", "macro AUC of the findings on originals, classifier trained on the release"),
    ("SSIM", "structural similarity of release and original; likeness is not utility"),
    (
        "ε",
        "formal guarantee, with the protected unit, for a release whose seed is secret; a benchmark run's seed is in "
        "its record, so that the run can be repeated",
    ),
    ("rungs", "how many rungs of the ladder were run"),
    ("seeds", "number of seeds; for several seeds, figures are mean ± standard deviation, and the maximum"),
    (
        "Pareto front",
        "no other defense has less risk (mAP@R of the strongest attack) at as much utility (retrained); undecided: "
        "another has, but not beyond the intervals of both differences",
    ),
    ("status", "what is missing or wrong"),
)

# Columns of published models instead of those of images.
MODEL_COLUMNS = (
    *COLUMNS[:10],
    ("utility", "macro AUC of the published model's own findings"),
    (
        "membership",
        "AUC in telling training patients from others, in models of patients drawn at random where a record has these; "
        "the better attack, the highest over the seeds",
    ),
    (
        "ε, proved",
        "lower bound on the mechanism's ε by an audit, of the highest bound that the audit could prove, both at 95 % "
        "confidence and at one δ for all rows (0.1 / number of training patients); the highest over the seeds; behind "
        "∞, what the same audit proves of training without privacy. The status says so if an audit proves more than is "
        "claimed, at the δ of the claim",
    ),
    *COLUMNS[16:],
)

RISKS: dict[str, tuple[str, Callable[[Row], tuple[float | None, Worst | None]]]] = {
    # The first is shown until a reader chooses another.
    "map": (
        "mAP@R over patients, strongest attack",
        lambda row: (row.mean(worst_retrieval), row.worst(worst_retrieval)),
    ),
    "auc": ("AUC, strongest attack", lambda row: (row.mean(worst_verification), row.worst(worst_verification))),
    "matched": (
        "AUC, strongest attack on matched negatives",
        lambda row: (row.mean(worst_matched), row.worst(worst_matched)),
    ),
    "tpr": ("TPR at 1 % FPR, highest", lambda row: (highest_tpr(row), None)),
}
UTILITIES: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "release": ("macro AUC (trained on release)", lambda row: row.utility("release", "release")),
    "originals": ("macro AUC (trained on originals)", lambda row: row.utility("originals", "release")),
    "back": (
        "macro AUC on originals (trained on release)",
        lambda row: row.utility("release", "originals"),
    ),
    "ssim": ("SSIM", lambda row: row.ssim()),
}
MODEL_UTILITIES = {"release": ("macro AUC of the published model", UTILITIES["release"][1])}


def boards(records: Sequence[Record], drops: Drops | None = None, influences: Influences | None = None) -> list[Board]:
    """All tables of these records; records that are not comparable never share a table.

    Args:
        records: of any datasets.
        drops: the drops with a paired interval.
        influences: how far patients move the figures of records with scores beside them, for ranks.
    """
    groups: dict[Group, list[Record]] = defaultdict(list)
    for record in records:
        groups[Group.of(record)].append(record)
    made = []
    for group in sorted(groups, key=lambda group: (group.dataset, *group.order(), group.track)):
        controls = board_controls(groups[group], records)
        made.append(_board(group, rows(groups[group], records, controls, drops), controls, influences))
    return made


def _board(group: Group, table: list[Row], controls: BoardControls, influences: Influences | None) -> Board:
    chart = _chart(table)
    delta = audited_at(record for row in table for record in row.records)
    places = ranks(table, influences)
    lines = tuple(
        BoardRow(row, tuple(_cells(row, stands, rank, tier, delta)), stands is Standing.FRONT, _options(row))
        for row, stands, rank, tier in zip(table, standings(table), places, tiers(table))
    )
    told = tuple(filter(None, (explained(places), *intervals_told(table))))
    said = [conclusion(table) if group.track == "images" else None]
    said += elsewhere(table)
    said += [f"{row.label}: {line}." for row in table if (line := untrained_over_seeds(row.records))]
    shared = tuple(shared_options(table))
    return Board(group, group.track, lines, controls, shared, chart, told, tuple(filter(None, said)))


def _cells(row: Row, stands: Standing, rank: Rank | None, tier: Tier | None, delta: float) -> list[Cell]:
    auc, matched, ranking = row.worst(worst_verification), row.worst(worst_matched), row.worst(worst_retrieval)
    claimed = row.records[0].defense.privacy
    climbed, rungs = row.climbed
    return [
        Cell(row.label, row.label),
        _worst_cell(row, worst_verification, auc),
        _drop_cell(row, worst_verification),
        _cell(row.all_pairs()),
        _worst_cell(row, worst_matched, matched),
        _cell(highest_tpr(row)),
        _worst_cell(row, worst_retrieval, ranking),
        _drop_cell(row, worst_retrieval),
        Cell(f"{rank.text} ({rank.range})" if rank else "–", float(rank.shared) if rank else None),
        _cell(row.several_known()),
        *(_images_left(row, tier) if row.records[0].track == "images" else _model_left(row, delta)),
        Cell(epsilon(row.records[0]) or "–", claimed.epsilon if claimed else None),
        Cell(f"{climbed} of {rungs}", float(climbed)),
        Cell(str(row.seeds), float(row.seeds)),
        Cell(stands.value or "no", float(list(Standing)[::-1].index(stands))),
        Cell(row.status, row.status),
    ]


def _images_left(row: Row, tier: Tier | None) -> list[Cell]:
    fallen = row.fall("release", "release") if row.records[0].defense.kind != "none" else None
    return [
        _cell(row.utility("release", "release")),
        Cell(figure(fallen), fallen.value if fallen else None),
        Cell(tier.value if tier else "–", float(list(Tier)[::-1].index(tier)) if tier else None),
        *(_cell(value) for value in (row.utility("originals", "release"), row.utility("release", "originals"))),
        _cell(row.ssim()),
    ]


def _model_left(row: Row, delta: float) -> list[Cell]:
    found = [auc for record in row.records if (auc := membership_auc(record)) is not None]
    lower, text = proved(row.records, delta) or (None, "–")
    left = (row.utility("release", "release"), max(found, default=None))
    return [*(_cell(value) for value in left), Cell(text, lower)]


def _cell(value: float | None) -> Cell:
    return Cell(number(value), value)


def _worst_cell(row: Row, find: Find, worst: Worst | None) -> Cell:
    return Cell(over_the_seeds(row, find, worst), row.mean(find))


def _drop_cell(row: Row, find: Find) -> Cell:
    found = row.drop(find) if row.records[0].defense.kind != "none" else None
    return Cell(figure(found), found.value if found else None)


def _chart(table: list[Row]) -> dict[str, Any]:
    risks = {name: [find(row) for row in table] for name, (_, find) in RISKS.items()}
    measured = UTILITIES if table[0].records[0].track == "images" else MODEL_UTILITIES
    utilities = {name: [find(row) for row in table] for name, (_, find) in measured.items()}
    sound = [row.sound for row in table]
    tier = [one.value if one else None for one in tiers(table)]
    fronts = {}
    for risk, found in risks.items():
        for utility, values in utilities.items():
            # Rows with an incomplete ladder, failed controls or a contradicted claim are on no front.
            points = [(r if ok else None, u) for (r, _), u, ok in zip(found, values, sound)]
            fronts[f"{risk} {utility}"] = pareto_front(points)
    return {
        "rows": [
            {
                "label": plain(row.label),
                "family": plain(row.records[0].defense.name),
                "options": plain(" ".join(_options(row))),
                "undefended": row.records[0].defense.kind == "none",
                "tier": tier[i],
                "page": f"../records/{row.records[0].stem}.html",
                "sound": sound[i],
                "risk": {name: _point(*found[i]) for name, found in risks.items()},
                "utility": {name: values[i] for name, values in utilities.items()},
            }
            for i, row in enumerate(table)
        ],
        "axes": {
            "risk": {name: title for name, (title, _) in RISKS.items()},
            "utility": {name: title for name, (title, _) in measured.items()},
        },
        "fronts": fronts,
        "families": _families(table),
        "tiers": [one.value for one in Tier],
        # Of the utility "release" alone, whose fall the tiers are decided by.
        "half": half_line(table),
        "bands": BANDS,
    }


def _options(row: Row) -> tuple[str, ...]:
    """The options in the row's label, one text each."""
    options = row.records[0].defense.options
    return tuple(f"{name}={value}" for name, value in options.items() if value is not None and name not in row.shared)


def _point(value: float | None, worst: Worst | None) -> dict[str, float | None]:
    figure_ = worst.figure if worst else None
    return {"value": value, "low": figure_.low if figure_ else None, "high": figure_.high if figure_ else None}


def _families(table: list[Row]) -> list[dict[str, Any]]:
    """Rows of one defense, in the order in which a line joins them."""
    members: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(table):
        members[row.records[0].defense.name].append(position)
    return [{"name": plain(name), "rows": _in_order(table, positions)} for name, positions in sorted(members.items())]


def _in_order(table: list[Row], positions: list[int]) -> list[int]:
    options = [table[i].records[0].defense.options for i in positions]
    names = dict.fromkeys(name for each in options for name in each)
    varying = [name for name in names if len({str(each.get(name)) for each in options}) > 1]
    if len(varying) == 1 and all(isinstance(each.get(varying[0]), int | float) for each in options):
        return sorted(positions, key=lambda i: table[i].records[0].defense.options[varying[0]])
    # Several options vary, or one without an order: by increasing risk, which is the reverse order of the table.
    return positions[::-1]
