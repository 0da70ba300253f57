"""The README's tables are typed by hand: every figure in them must be what the committed records say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reidbench.records.schema import Record, RetrievalMetrics
from reidbench.records.store import read_record
from reidbench.report.figures.summary import utility, worst_retrieval, worst_verification

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RECORDS = sorted((ROOT / "leaderboards" / "records").glob("*.json"))


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    below = README.split(f"\n## {heading}\n")[1].split("\n\n|", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines()[2:]]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d\.\d+", text)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    assert RECORDS
    return [read_record(path) for path in RECORDS]


def chosen(records: list[Record], dataset: str, label: str) -> Record:
    """The record of seed 0 that a label names: ``dp_pix`` b 8, ε 0.3 a pixel."""
    (name, *_) = re.findall(r"`(\w+)`", label) or ["undefended"]
    options = {k.replace("ε", "epsilon"): float(v) for k, v in re.findall(r"(\w+) (\d+(?:\.\d+)?)", label)}
    found = [
        record
        for record in records
        if (record.dataset.name, record.track, record.seed, record.defense.name) == (dataset, "images", 0, name)
        and all(record.defense.options.get(option) == value for option, value in options.items())
    ]
    assert len(found) == 1, (label, [record.defense.options for record in found])
    return found[0]


def only(record: Record, knowledge: str) -> Record:
    kept = [attack for attack in record.attacks if attack.knowledge == knowledge]
    return record.model_copy(update={"attacks": kept})


BOARDS = [
    *(("phantom", row) for row in rows("What the leaderboard says")),
    *(("chestxray14", row) for row in rows("The same on real X-rays")),
]


@pytest.mark.parametrize(("dataset", "row"), BOARDS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_boards_rows(dataset, row, records):
    record = chosen(records, dataset, row[0])
    told = [numbers(cell)[0] for cell in row[1:]]
    figures = [
        worst_verification(only(record, "ignorant")),
        worst_verification(only(record, "inverting")),
        worst_verification(record),
        worst_retrieval(record),
    ]
    assert told == [f"{worst.value:.3f}" for worst in figures] + [f"{utility(record, 'release').value:.3f}"]


@pytest.mark.parametrize("row", rows("On real X-rays"), ids=lambda row: row[0])
def test_the_x_rays_rows(row, records):
    record = chosen(records, "chestxray14", "`identity`")
    if "raw pixels" in row[0] or "metadata" in row[0]:
        controls = record.controls
        by = controls.pixels_auc if "pixels" in row[0] else controls.metadata_only_auc
        expected = [by["random"], by["matched"], *([controls.pixels_map_at_r] if "pixels" in row[0] else [])]
        assert [numbers(cell)[0] for cell in row[1:] if cell] == [f"{value:.3f}" for value in expected]
        return
    name = re.findall(r"`(\w+)`", row[0])[0]
    mine = [
        attack
        for attack in record.attacks
        if (attack.attacker, attack.knowledge, attack.linkage) == (name, "ignorant", "original-released")
    ]
    figures = {attack.negatives: attack.metrics for attack in mine}
    ranks = figures[None]
    assert isinstance(ranks, RetrievalMetrics)
    intervals = [figures["random"].auc, figures["matched"].auc, ranks.map_at_r, ranks.precision_at_1]
    for cell, interval in zip(row[1:], intervals, strict=True):
        value, *ends = numbers(cell)
        assert value == f"{interval.value:.3f}"
        assert ends in ([], [f"{interval.low:.2f}", f"{interval.high:.2f}"])


def test_the_covid_sentence(records):
    sentence = README.split("On `covid19` (")[1].split("\n\n")[0]
    record = chosen(records, "covid19", "`identity`")
    (auc,) = (
        attack.metrics.auc
        for attack in record.attacks
        if (attack.attacker, attack.knowledge, attack.linkage, attack.negatives)
        == ("retrieval", "ignorant", "original-released", "random")
    )
    (ranking,) = (
        attack.metrics.map_at_r
        for attack in record.attacks
        if (attack.attacker, attack.knowledge, attack.linkage, attack.negatives)
        == ("retrieval", "ignorant", "original-released", None)
    )
    pixels = record.controls
    expected = [auc.value, auc.low, auc.high, ranking.value, pixels.pixels_auc["random"], pixels.pixels_map_at_r]
    assert numbers(sentence) == [f"{v:.{2 if n in (1, 2) else 3}f}" for n, v in enumerate(expected)]
