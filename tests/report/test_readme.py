"""The figures of the README and of docs/results.md agree with the committed records."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from reidbench.records.schema import Record, RetrievalMetrics
from reidbench.records.store import read_record
from reidbench.report.figures.summary import utility, worst_retrieval, worst_verification
from reidbench.report.figures.training_checks import badly_trained

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text("utf-8")
RECORDS = sorted((ROOT / "leaderboards" / "records").glob("*.json"))


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, its head first."""
    below = page.split(f"\n## {heading}\n")[1].split("\n\n|", 1)[1].split("\n\n")[0]
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines())
    return [head, *lines]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of docs/results.md, without its head."""
    return table(RESULTS, heading)[1:]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d\.\d+", text)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    assert RECORDS
    return [read_record(path) for path in RECORDS]


def load():
    """The script that fills the pages: it also knows which record a label names."""
    spec = importlib.util.spec_from_file_location("fill_results", ROOT / "docs" / "fill_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILL = load()
chosen, named, only = FILL.chosen, FILL.named, FILL.only


BOARDS = [
    *(("phantom", row) for row in rows("What the leaderboard says")),
    *(("chestxray14", row) for row in rows("Defenses on real X-rays")),
    *(("covid19", row) for row in rows("Defenses on COVID-19")),
]


def over_seeds(seeds, find):
    """The mean over the records of a row, with three decimals."""
    return f"{sum(find(record) for record in seeds) / len(seeds):.3f}"


def auc(record):
    return worst_verification(record).figure.value


def map_at_r(record):
    return worst_retrieval(record).figure.value


def retrained(record):
    return utility(record, "release").value


@pytest.mark.parametrize(("dataset", "row"), BOARDS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_boards_rows(dataset, row, records):
    seeds = chosen(records, dataset, row[0])
    told = [numbers(cell)[0] for cell in row[1:]]
    known = [over_seeds([only(record, knowledge) for record in seeds], auc) for knowledge in ("ignorant", "inverting")]
    assert told == known + [over_seeds(seeds, find) for find in (auc, map_at_r, retrained)]


def test_rows_of_several_seeds_are_among_them(records):
    several = [row[0] for dataset, row in BOARDS if len(chosen(records, dataset, row[0])) > 1]
    assert "`gaussian_noise` sigma 0.25" in several
    assert {record.seed for record in chosen(records, "chestxray14", "`gaussian_noise` sigma 0.25")} == {0, 1, 2}


HEAD, *LINES = table(README, "Results")


@pytest.mark.parametrize("row", LINES, ids=lambda row: row[0])
def test_the_readmes_rows(row, records):
    seeds = chosen(records, "phantom", row[0])
    figures = {
        "AUC, ignorant attackers": over_seeds([only(record, "ignorant") for record in seeds], auc),
        "AUC, strongest attack": over_seeds(seeds, auc),
        "mAP@R, strongest attack": over_seeds(seeds, map_at_r),
        "utility": over_seeds(seeds, retrained),
    }
    real = named(records, "chestxray14", row[0])
    for head, find in (("AUC", auc), ("mAP@R", map_at_r)):
        figures[f"ChestX-ray14: {head}"] = over_seeds(real, find) if real else None
    assert ["defense", *figures] == HEAD
    for cell, figure in zip(row[1:], figures.values(), strict=True):
        assert numbers(cell)[:1] == ([] if figure is None else [figure])


def test_the_readmes_summary(records):
    """What is said of every defense that hides identity holds for every record of the phantom's leaderboard."""
    told = README.split("every defense that is shown to lower the strongest attack's")[1]
    sentence = told.split("without a defense")[0]
    bound, most, undefended = map(float, numbers(sentence))
    judged = [r for r in records if (r.dataset.title, r.track, r.seed) == ("phantom", "images", 0)]
    below = [
        utility(r, "release").value
        for r in judged
        if worst_verification(r).figure.high < bound and not badly_trained(r)
    ]
    assert len(below) > 2
    assert f"{max(below):.3f}" == f"{most:.3f}"
    assert f"{utility(chosen(records, 'phantom', 'undefended')[0], 'release').value:.3f}" == f"{undefended:.3f}"


def test_the_readme_is_short_and_counts_the_defenses():
    assert len(README.splitlines()) < 150
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert re.findall(r"The (\d+) built-in\s", README) == [str(len(project["entry-points"]["reidbench"]))]


@pytest.mark.parametrize("row", rows("On real X-rays"), ids=lambda row: row[0])
def test_the_x_rays_rows(row, records):
    record = chosen(records, "chestxray14", "`identity`")[0]
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
    sentence = RESULTS.split("On `covid19` (")[1].split("\n\n")[0]
    record = chosen(records, "covid19", "`identity`")[0]
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


def test_the_pages_are_what_the_script_fills_in():
    for path, text in FILL.pages().items():
        assert path.read_text("utf-8") == text, "stale: run python docs/fill_results.py"


def test_the_script_mends_figures_and_keeps_words(monkeypatch, tmp_path):
    """Figures of tables and agreements and counts of conclusions are put right, and nothing else is changed."""
    expected = FILL.pages()
    for name in ("README", "RESULTS", "BOARDS", "MODELS"):
        page = getattr(FILL, name)
        # The tables above it in docs/model-track.md are of other runs.
        kept, heading, filled = expected[page].rpartition("\n## Models of generated patients\n")
        lines = [re.sub(r"\d\.\d{3}", "0.123", line) if line.startswith("|") else line for line in filled.split("\n")]
        wrong = (
            kept
            + heading
            + "\n".join(lines).replace("defenses with their options, ", "defenses with their options, 99")
        )
        assert wrong != expected[page]
        monkeypatch.setattr(FILL, name, tmp_path / page.name)
        (tmp_path / page.name).write_text(wrong, "utf-8")
    assert list(FILL.pages().values()) == list(expected.values())


def test_the_script_refuses_tables_that_it_does_not_know(monkeypatch, tmp_path):
    text = FILL.MODELS.read_text("utf-8")
    heads = "| membership: AUC | utility |"
    assert heads in text
    monkeypatch.setattr(FILL, "MODELS", tmp_path / "models.md")
    for wrong, reason in (
        (text.replace(heads, "| utility | membership: AUC |"), "columns"),
        (re.sub(r"\d\.\d{3} ± \d\.\d{3}", "–", text), "does not say how to write"),
        (text.replace("`dp_training` ε 8 |", "`dp_training` |"), "models, not one"),
    ):
        FILL.MODELS.write_text(wrong, "utf-8")
        with pytest.raises(ValueError, match=reason):
            FILL.pages()


MODELS = table((ROOT / "docs" / "model-track.md").read_text("utf-8"), "Models of generated patients")


@pytest.mark.parametrize("row", MODELS[1:], ids=lambda row: row[0])
def test_the_rows_of_models(row, records):
    """Against the records themselves, by columns."""
    found = [r for r in records if r.track == "model" and FILL.is_named(r, row[0])]
    assert sorted(record.seed for record in found) == [0, 1, 2]
    told = dict(zip(MODELS[0], row, strict=True))
    ranked = [worst_retrieval(record).value for record in found]
    assert numbers(told["mAP@R"]) == [f"{np.mean(ranked):.3f}", f"{np.std(ranked, ddof=1):.3f}"]
    pairs = [worst_verification(record, "random").value for record in found]
    assert numbers(told["AUC, random pairs"])[0] == f"{np.mean(pairs):.3f}"
    bare = [value for record in found for value in record.untrained.auc["random"]]
    assert numbers(told["AUC, untrained"]) == [f"{min(bare):.3f}", f"{max(bare):.3f}"]
    drawn = [one.auc.value for r in found for one in r.membership.drawn.attacks if one.attack != "blind"]
    assert numbers(told["membership: AUC"]) == [f"{max(drawn):.3f}"]
    assert numbers(told["utility"]) == [f"{np.mean([utility(r, 'originals').value for r in found]):.3f}"]
