"""Leaderboards: pages made from records alone, the same bytes from the same records."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from urllib.parse import quote

from reidbench.records.paired.strongest import ENOUGH_PAIRS
from reidbench.records.schema import Record, VerificationMetrics
from reidbench.report.figures.board.curve import Point, chance_risk
from reidbench.report.figures.board.ranks import Influences, Rank, explained, ranks
from reidbench.report.figures.board.rows import Row, highest_tpr, rows, shared_options
from reidbench.report.figures.board.standing import Standing, standings
from reidbench.report.figures.board.tiers import Tier, half_line, tiers
from reidbench.report.figures.conclusions import conclusion
from reidbench.report.figures.controls import BoardControls, board_controls
from reidbench.report.figures.elsewhere import elsewhere
from reidbench.report.figures.formats import figure, intervals_told, number, over_the_seeds
from reidbench.report.figures.membership import untrained_over_seeds
from reidbench.report.figures.origins import bundle_text
from reidbench.report.figures.paired.drops import HEADLINES, UNPAIRED, Drops, Find
from reidbench.report.figures.paired.matching import hyperparameters, impostors
from reidbench.report.figures.summary import (
    KNOWN,
    Worst,
    audited_at,
    defense_label,
    epsilon,
    findings_left_out,
    membership_auc,
    proved,
    stand_in,
    too_low,
    worst_matched,
    worst_retrieval,
    worst_verification,
)
from reidbench.report.figures.supplied import RAISED, raised
from reidbench.report.pictures.curve_svg import Panel, draw
from reidbench.report.text.board.agreement import agreement_sentences
from reidbench.report.text.board.files import TITLE
from reidbench.report.text.board.words import CURVE, INTRODUCTIONS, MODEL_CURVE, RISK, UTILITY
from reidbench.report.text.markup.csv_text import csv_text
from reidbench.report.text.markup.markdown import Markdown, markdown_table, plain_markdown


@dataclass(frozen=True)
class Group:
    """Records that may share a table.

    Track, dataset revision, size, preset and overrides are equal. So are the attackers' names and hyperparameters: next
    to the figure of a stronger attacker, that of a weaker one would look like a better defense.
    """

    dataset: str
    revision: str
    size: int
    preset: str
    overrides: str
    track: str = "images"
    attackers: str = ""
    hyperparameters: str = ""
    impostors: str = "exchanged"

    @classmethod
    def of(cls, record: Record) -> Group:
        """The table that a record belongs to."""
        data = record.dataset
        overrides = " ".join(f"{name}={value}" for name, value in sorted(record.overrides.items()))
        attackers = sorted({attack.attacker for attack in record.attacks})
        return cls(
            data.title,
            data.revision,
            data.size,
            record.preset,
            overrides,
            record.track,
            ", ".join(attackers),
            hashlib.sha256("\n".join(hyperparameters(record)).encode()).hexdigest()[:8],
            impostors(record),
        )

    @property
    def title(self) -> str:
        """What its records have in common, in one line."""
        extra = f", {self.overrides}" if self.overrides else ""
        return f"{self.preset} preset at {self.size}²{extra}, revision {self.revision[:12]}"

    def title_among(self, groups: Iterable[Group]) -> str:
        """The title; with attackers and hyperparameters where another group has the same title."""
        alike = [group for group in groups if group.title == self.title]
        return self.title if len(alike) < 2 else f"{self.title}, {self.attackers} {self.hyperparameters}"

    @property
    def page(self) -> str:
        """The name of its page; each track has a page of its own."""
        return self.dataset if self.track == "images" else f"{self.dataset}-{self.track}s"

    def order(self) -> tuple[int, str, int, str, str, str]:
        """Sort key of its table among those of its dataset: the strongest preset first."""
        presets = {"paper": 0, "standard": 1, "quick": 2}
        preset = presets.get(self.preset, 3)
        return preset, self.revision, -self.size, self.overrides, self.attackers, self.hyperparameters


@dataclass(frozen=True)
class _Table:
    """One table of a page: its rows, where each of them stands, the outcome of its controls, and the sentences on how
    far it agrees with other boards."""

    group: Group
    rows: list[Row]
    standings: list[Standing]
    controls: BoardControls
    ranks: list[Rank | None]
    agreements: list[str]


def render(
    records: Sequence[Record],
    drops: Drops | None = None,
    links: Mapping[str, str] | None = None,
    influences: Influences | None = None,
) -> dict[str, str]:
    """The pages of these records by file name: for each dataset ``<name>.md``, ``<name>.csv`` and ``<name>.svg``.

    Published models have pages of their own, ``<name>-models.md`` and so on. A page has no figure if none of its
    records has both a risk and a utility.

    Args:
        records: of any datasets.
        drops: the drops with a paired interval, for records with scores beside them.
        links: by a record's id, its path relative to the pages.
        influences: how far patients move the figures of records with scores beside them, for ranks.
    """
    pages = {}
    boards = _grouped(records, drops)
    for page, made in boards.items():
        mine = [group for group, _, _ in made]
        tables = [
            _Table(group, table, standings(table), controls, ranks(table, influences), _agreements(page, table, boards))
            for group, table, controls in made
        ]
        panels = [panel for panel in (_panel(one.group.title_among(mine), one.rows) for one in tables) if panel.points]
        pages[f"{page}.md"] = _markdown(page, tables, links or {}, figured=bool(panels))
        pages[f"{page}.csv"] = _csv(tables)
        if panels:
            pages[f"{page}.svg"] = draw(page, panels, across=RISK[mine[0].track], upward=UTILITY[mine[0].track])
    return pages


def tables(records: Sequence[Record]) -> dict[str, dict[str, list[Row]]]:
    """The rows of these records, by board and by the title of the table."""
    found = {}
    for page, made in _grouped(records, None).items():
        mine = [group for group, _, _ in made]
        found[page] = {group.title_among(mine): table for group, table, _ in made}
    return found


#: Of a board's tables in their order: what they have in common, their rows, the outcome of their controls.
_Made = list[tuple[Group, list[Row], BoardControls]]


def _grouped(records: Sequence[Record], drops: Drops | None) -> dict[str, _Made]:
    groups: dict[Group, list[Record]] = defaultdict(list)
    for record in records:
        groups[Group.of(record)].append(record)
    found: dict[str, _Made] = {}
    for page in sorted({group.page for group in groups}):
        found[page] = []
        for group in sorted((group for group in groups if group.page == page), key=Group.order):
            controls = board_controls(groups[group], records)
            found[page].append((group, rows(groups[group], records, controls, drops), controls))
    return found


def _agreements(page: str, table: Sequence[Row], boards: Mapping[str, _Made]) -> list[str]:
    """Sentences on the agreement with the first table of each other board, which has the strongest preset."""
    return agreement_sentences(table, {name: made[0][1] for name, made in boards.items() if name != page})


def _panel(title: str, table: list[Row]) -> Panel:
    points, missing = [], []
    for row, tier in zip(table, tiers(table)):
        defense = row.records[0].defense
        risk, left = row.mean(worst_retrieval), row.utility("release", "release")
        if risk is None or left is None:
            missing.append(row.label)
            continue
        options = row.label.removeprefix(defense.name).strip()
        points.append(Point(defense.name, options, risk, left, row.sound, defense.kind == "none", tier))
    return Panel(title, points, missing, half_line(table), chance_risk(table))


def _markdown(page: str, tables: list[_Table], links: Mapping[str, str], *, figured: bool) -> str:
    track = tables[0].group.track
    lines = [f"{TITLE}{plain_markdown(page)}", "", *INTRODUCTIONS[track], ""]
    if figured:
        lines += [f"![{CURVE if track == 'images' else MODEL_CURVE}]({page}.svg)", ""]
    groups = [one.group for one in tables]
    for one in tables:
        lines += [f"## {plain_markdown(one.group.title_among(groups))}", "", *_section(one, links)]
    return "\n".join(lines).rstrip() + "\n"


def _section(one: _Table, links: Mapping[str, str]) -> list[str]:
    group, table, board = one.group, one.rows, one.controls
    any_record = table[0].records[0]
    data = any_record.dataset
    controls = any_record.controls
    delta = audited_at(record for row in table for record in row.records)
    if group.track == "images":
        found = [_columns(*each) for each in zip(table, one.ranks, tiers(table))]
    else:
        found = [_model_columns(*each, delta) for each in zip(table, one.ranks)]
    columns = [
        [*cells, *_about(row, stands, links)] for cells, row, stands in zip(found, table, one.standings, strict=True)
    ]
    for name, of in LATER.items():
        if all(of(row) is None for row in table):
            columns = [[cell for cell in cells if cell[0] != name] for cells in columns]
    lines = [
        f"{data.images['train']} training images of {data.patients['train']} patients; "
        f"{data.images['test']} test images of {data.patients['test']}. "
        f"Without any network: metadata alone {_by_negatives(controls.metadata_only_auc)}, raw pixels "
        f"{_by_negatives(controls.pixels_auc)} AUC and {number(controls.pixels_map_at_r)} mAP@R (over images).",
        "",
        f"Attackers: {plain_markdown(group.attackers)}; hyperparameters {group.hyperparameters}. {_pairs(table)}",
        "",
        *([f"The {plain_markdown(told)}.", ""] if (told := bundle_text(any_record)) else []),
        *(line for reason in board.reasons for line in (f"**Invalid board**: {plain_markdown(reason)}.", "")),
        *([f"Controls: {board.line}.", ""] if board.line else []),
        *([plain_markdown(told), ""] if (told := findings_left_out(any_record)) else []),
        *([plain_markdown(told), ""] if group.track == "images" and (told := conclusion(table)) else []),
        *([" ".join(map(plain_markdown, one.agreements)), ""] if one.agreements else []),
        *markdown_table([name for name, _ in columns[0]], ([text for _, text in row] for row in columns)),
        "",
    ]
    lines += [line for told in (explained(one.ranks), *intervals_told(table)) if told for line in (told, "")]
    lines += [line for told in elsewhere(table) for line in (plain_markdown(told), "")]
    if same := shared_options(table):
        lines += [f"In all of these rows: {plain_markdown('; '.join(same))}.", ""]
    if any(found is not None and found.low is None for row in table for found in map(row.drop, HEADLINES)):
        lines += [UNPAIRED, ""]
    limits = dict.fromkeys(
        (row.records[0].defense.name, told)
        for say in (stand_in, too_low)
        for row in table
        if (told := say(row.records[0]))
    )
    lines += [line for name, told in limits for line in (f"{plain_markdown(f'{name}: {told}')}", "")]
    for row in table:
        if told := untrained_over_seeds(row.records):
            lines += [plain_markdown(f"{row.label}: {told}."), ""]
    lines += _supplements(table)
    invalid = [
        f"- {plain_markdown(row.label)} is invalid: {plain_markdown('; '.join(row.problems))}."
        for row in table
        if row.problems
    ]
    return [*lines, *invalid, ""] if invalid else lines


def _supplements(table: Sequence[Row]) -> list[str]:
    found = [f"- {plain_markdown(line)}" for line in raised(table)]
    return [RAISED, "", *found, ""] if found else []


def _columns(row: Row, rank: Rank | None, tier: Tier | None) -> list[tuple[str, str]]:
    return [
        *_attack_columns(row, rank),
        ("utility: originals", number(row.utility("originals", "release"))),
        ("utility: release", figure(row.utility_interval("release", "release"))),
        ("drop", figure(row.fall("release", "release")) if row.records[0].defense.kind != "none" else ""),
        ("diagnosis", tier.value if tier else ""),
        ("SSIM", number(row.ssim())),
        ("ε", epsilon(row.records[0]) or ""),
    ]


def _model_columns(row: Row, rank: Rank | None, delta: float) -> list[tuple[str, str]]:
    shown = proved(row.records, delta)
    found = [auc for record in row.records if (auc := membership_auc(record)) is not None]
    return [
        *_attack_columns(row, rank),
        ("utility", figure(row.utility_interval("originals", "originals"))),
        ("membership", number(max(found, default=None))),
        ("ε", epsilon(row.records[0]) or ""),
        ("ε, proved", shown[1] if shown else "–"),
    ]


def _about(row: Row, stands: Standing, links: Mapping[str, str]) -> list[tuple[str, str]]:
    """The last columns of every row; *seeds* links to the records."""
    climbed, rungs = row.climbed
    records = [f"[{r.seed}]({quote(links[r.id])})" if r.id in links else str(r.seed) for r in row.records]
    return [
        ("front", stands.value),
        ("rungs", f"{climbed} of {rungs}"),
        ("seeds", Markdown(", ".join(records))),
        ("status", row.status),
    ]


def _pairs(table: list[Row]) -> str:
    """The numbers of pairs and attacks behind a table, and the bias of a maximum over many attacks."""
    attacks = max((record.attacks for row in table for record in row.records), key=len)
    verified = [(a.negatives, a.metrics) for a in attacks if isinstance(a.metrics, VerificationMetrics)]
    counts = {kind: (found.genuine, found.impostor) for kind, found in verified if kind is not None}
    said = ", ".join(f"{genuine:,} genuine and {impostor:,} {kind}" for kind, (genuine, impostor) in counts.items())
    few = [kind for kind, (_, impostor) in counts.items() if impostor < ENOUGH_PAIRS]
    if few and len(few) < len(counts):
        said += f" ({', '.join(few)}: too few to be the strongest attack)"
        verified = [(kind, found) for kind, found in verified if kind not in few]
    retrieved = sum(attack.task == "retrieval" for attack in attacks)
    return (
        f"Pairs: {said or 'none'}. The strongest attack is the highest of {len(verified)} AUC or {retrieved} mAP@R, "
        "and lies above the figure of a single attack by chance, the more so the fewer the pairs; its interval does "
        "not account for that choice." + _realized(table)
    )


def _realized(table: list[Row]) -> str:
    """How far the rates of calibrated thresholds lie from the 1 % that they were set for; empty without one."""
    found = [
        1 - specificity
        for row in table
        for record in row.records
        for attack in record.attacks
        if isinstance(figures := attack.metrics, VerificationMetrics)
        and figures.impostor >= ENOUGH_PAIRS
        and figures.calibrated is not None
        and (specificity := figures.calibrated.specificity) is not None
    ]
    if not found:
        return ""
    usual, highest = (f"{100 * rate:.1f} %" for rate in (median(found), max(found)))
    return (
        f" Thresholds set for 1 % false positives on validation pairs had {usual} on test pairs (median of "
        f"{len(found):,} attacks; the highest {highest})."
    )


SEVERAL_KNOWN = f"P@1, {KNOWN} known images"
ALL_PAIRS = "AUC, all pairs"
#: Columns that are left out where no row has them.
LATER: dict[str, Callable[[Row], float | None]] = {SEVERAL_KNOWN: Row.several_known, ALL_PAIRS: Row.all_pairs}


def _attack_columns(row: Row, rank: Rank | None) -> list[tuple[str, str]]:
    auc, ranking = row.worst(worst_verification), row.worst(worst_retrieval)
    return [
        ("defense", row.label),
        ("AUC, strongest attack", over_the_seeds(row, worst_verification, auc)),
        ("drop", _drop_text(row, worst_verification)),
        (ALL_PAIRS, number(row.all_pairs())),
        ("matched", number(row.mean(worst_matched))),
        ("TPR at 1 % FPR", number(highest_tpr(row))),
        ("mAP@R, strongest attack", over_the_seeds(row, worst_retrieval, ranking)),
        ("drop", _drop_text(row, worst_retrieval)),
        ("rank", f"{rank.text} ({rank.range})" if rank else "–"),
        (SEVERAL_KNOWN, number(row.several_known())),
        ("by (AUC)", auc.rung if auc else "–"),
    ]


def _drop_text(row: Row, find: Find) -> str:
    return figure(row.drop(find)) if row.records[0].defense.kind != "none" else ""


def _by_negatives(figures: dict[str, float | None]) -> str:
    return ", ".join(f"{number(value)} ({plain_markdown(negatives)})" for negatives, value in figures.items())


CSV_COLUMNS = (
    "dataset", "revision", "size", "preset", "overrides", "attackers", "hyperparameters", "defense", "seeds", "status",
    "problems", "rank", "rank_low", "rank_high",
    "auc", "auc_spread", "auc_max", "auc_low", "auc_high", "auc_drop", "auc_drop_low", "auc_drop_high", "auc_all_pairs",
    "auc_matched",
    "tpr_at_fpr_0.01", "map_at_r_patients", "map_at_r_patients_spread", "map_at_r_patients_max",
    "map_at_r_patients_low", "map_at_r_patients_high", "map_at_r_patients_drop", "map_at_r_patients_drop_low",
    "map_at_r_patients_drop_high", "precision_at_1_4_known",
    "auc_rung", "map_at_r_rung", "utility_originals_release", "utility_release_release", "utility_release_release_low",
    "utility_release_release_high", "utility_drop", "utility_drop_low", "utility_drop_high",
    "utility_tier", "utility_release_originals", "ssim", "epsilon", "delta", "privacy_unit",
    "pareto_front", "pareto_undecided", "rungs", "records",
)  # fmt: skip


def _csv(tables: list[_Table]) -> str:
    return csv_text(
        CSV_COLUMNS,
        (
            _csv_row(one.group, row, stands, rank, tier)
            for one in tables
            for row, stands, rank, tier in zip(one.rows, one.standings, one.ranks, tiers(one.rows))
        ),
    )


def _csv_row(group: Group, row: Row, stands: Standing, rank: Rank | None, tier: Tier | None) -> list[object]:
    auc, ranking = row.worst(worst_verification), row.worst(worst_retrieval)
    claimed, left = row.records[0].defense.privacy, row.utility_interval("release", "release")
    fallen = row.fall("release", "release") if row.records[0].defense.kind != "none" else None
    return [
        group.dataset, group.revision, group.size, group.preset, group.overrides, group.attackers,
        group.hyperparameters, defense_label(row.records[0]), row.seeds, row.status, "; ".join(row.problems),
        *((rank.shared, rank.low, rank.high) if rank else (None, None, None)),
        *_figures(row, worst_verification, auc), row.all_pairs(), row.mean(worst_matched),
        highest_tpr(row), *_figures(row, worst_retrieval, ranking), row.several_known(),
        auc.rung if auc else None, ranking.rung if ranking else None, row.utility("originals", "release"),
        left.value if left else None, left.low if left else None, left.high if left else None,
        *((fallen.value, fallen.low, fallen.high) if fallen else (None, None, None)),
        tier.value if tier else None, row.utility("release", "originals"), row.ssim(),
        claimed.epsilon if claimed else None, claimed.delta if claimed else None, claimed.unit if claimed else None,
        stands is Standing.FRONT, stands is Standing.UNDECIDED, row.climbed[0],
        " ".join(record.id for record in row.records),
    ]  # fmt: skip


def _figures(row: Row, find: Find, worst: Worst | None) -> list[float | None]:
    """Mean, spread and maximum of a worst case, the interval of the maximum, and the drop with its interval."""
    ends = [worst.figure.low, worst.figure.high] if worst else [None, None]
    fallen = row.drop(find)
    drops = [fallen.value, fallen.low, fallen.high] if fallen else [None, None, None]
    return [row.mean(find), row.spread(find), worst.value if worst else None, *ends, *drops]
