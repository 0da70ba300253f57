"""Supplements on boards, pages and in the gate: the highest figure counts, and its source is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compared_runs import RUNS, Maker
from record_files import full_json
from supplements import supply

from reidbench import ReidbenchError, metrics
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.records.store import read_named, record_paths
from reidbench.records.supplements.files import one_side, read_supplement, scores_path
from reidbench.report.figures.board.reading import read_for_boards
from reidbench.report.figures.board.rows import rows
from reidbench.report.figures.controls import BoardControls
from reidbench.report.figures.paired.compare import compare
from reidbench.report.figures.paired.drops import paired_drops
from reidbench.report.figures.paired.matching import read_kept
from reidbench.report.figures.summary import worst_retrieval, worst_verification
from reidbench.report.figures.supplied import history, with_supplements
from reidbench.report.site import write_site
from reidbench.report.site.record_page import record_context
from reidbench.report.text.leaderboard import render
from reidbench.studies.example_images import ExampleSource


@pytest.fixture
def make(tmp_path):
    return Maker(tmp_path)


@pytest.fixture
def board(make):
    """An undefended run and a noise, with their scores, in one folder."""
    defense = make.template.defense.model_copy(update={"name": "undefended", "kind": "none", "options": {}})
    plain = make("board", 3.0, defense=defense, id="undefended")
    noise = make("board", 0.5, baseline_id="undefended")
    return make.folder / "board", plain, noise


def kept(folder: Path, places=True):
    return with_supplements(read_kept([folder]), [folder] if places else [], brief=False)


def table(folder: Path):
    one, refused = kept(folder)
    records = [found.record for found in one]
    made = rows(records, records, BoardControls({}, {}, (0,)), paired_drops(one, runs=RUNS))
    return {row.records[0].defense.name: row for row in made}, refused


def test_a_board_takes_the_higher_figure_and_names_its_source(make, board):
    folder, _, noise = board
    before = table(folder)[0]["gaussian_noise"]
    own = noise.read_bytes()
    path = supply(make, noise, 1.5, 4.0)
    made, refused = read_supplement(path), table(folder)[1]
    row = table(folder)[0]["gaussian_noise"]
    assert (refused, noise.read_bytes()) == ([], own)
    found = row.worst(worst_verification)
    assert found.value == made.attacks[0].metrics.auc.value > before.worst(worst_verification).value
    assert found.rung == f"ignorant o→r, cells (supplement of {made.created:%Y-%m-%d})"
    # The drop counts from the same attacker on undefended images, with a paired interval.
    drop = row.drop(worst_verification)
    assert drop.value == pytest.approx(made.undefended[0].metrics.auc.value - found.value)
    scores = read_scores(scores_path(path), made.scores_sha256)
    released, plain = (one_side(scores, undefended=side) for side in (False, True))
    a, b, same = released.pairs["random"]
    (key,) = released.verification
    again = metrics.bootstrap_auc_drop_patients(
        released.verification[key], plain.verification[key], same.astype(bool), released.patients[a],
        released.patients[b], runs=RUNS, seed=BOOTSTRAP_SEED, level=0.95,
    )  # fmt: skip
    assert (drop.low, drop.high) == pytest.approx((-again.high, -again.low))
    # Other rows count from what they were attacked by.
    assert table(folder)[0]["undefended"].worst(worst_verification).attack.attacker in ("verification", "retrieval")
    pages = render([one.record for one in kept(folder)[0]])
    page = next(text for name, text in pages.items() if name.endswith(".md"))
    then = before.worst(worst_verification).value
    assert f"cells, supplement of {made.created:%Y-%m-%d}" in page
    assert f"{then:.3f} at the time of the record" in page
    assert "cells (supplement of" in next(text for name, text in pages.items() if name.endswith(".csv"))


def test_a_weaker_attacker_moves_nothing(make, board):
    folder, _, noise = board
    before = render([one.record for one in kept(folder)[0]])
    supply(make, noise, 0.0, 0.1)
    found, refused = kept(folder)
    assert not refused
    assert render([one.record for one in found]) == before
    stages = history(next(one.record for one in found if one.record.defense.kind != "none"))
    assert [stage.by for stage in stages] == ["the record", "cells"]
    assert stages[1].rises == (False, False)


def test_the_history_of_a_defense_is_in_order_of_time(make, board):
    folder, plain, noise = board
    supply(make, noise, 2.5, 4.0, name="late", days=9, number=2)
    supply(make, noise, 1.5, 4.0, name="early", days=3, number=1)
    supply(make, noise, 1.0, 4.0, name="between", days=5, number=3)
    one = next(found for found in kept(folder)[0] if found.path == noise)
    stages = history(one.record)
    assert [stage.by for stage in stages] == ["the record", "early", "between", "late"]
    values = [stage.strongest[0].value for stage in stages]
    assert values == sorted(values)
    assert [stage.rises[0] for stage in stages] == [False, True, False, True]
    baseline = next(found for found in kept(folder)[0] if found.path == plain)
    page = record_context(one, baseline)
    assert len(page["history"]) == 4
    assert "supplement of" in page["headline"][0][2]
    assert {step.attack.attacker for step in page["supplied"]["verification"]} == {"early", "between", "late"}
    assert all(float(step.drop) > 0 for step in page["supplied"]["verification"])
    # The rest of the page is the record's alone.
    assert {step.attack.attacker for step in page["verification"]} == {"verification", "retrieval"}
    assert record_context(read_kept([noise])[0], baseline)["history"] == []


def test_brief_records_give_the_same_pages_and_whole_ones_come_back(make, board):
    folder, _, noise = board
    supply(make, noise, 1.5, 4.0)
    whole = kept(folder)[0]
    brief, _ = with_supplements(read_for_boards([folder]), [folder], brief=True)
    pages = [render([one.record for one in found], paired_drops(found, runs=20)) for found in (whole, brief)]
    assert pages[0] == pages[1]
    assert [one.whole().record for one in brief] == [one.record for one in whole]
    assert [one.record.supplied for one in brief] != [one.record.supplied for one in whole]


def change(path: Path, **fields) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_what_does_not_fit_is_named_and_left_out(make, board):
    folder, plain, noise = board
    before = render([one.record for one in kept(folder)[0]])
    forged = change(supply(make, noise, 2.5, 4.0), record_sha256="0" * 64)
    foreign = supply(make, noise, 2.5, 4.0, number=2)
    renamed = foreign.rename(foreign.with_name(foreign.name.replace(noise.stem, plain.stem)))
    orphan = supply(make, make("elsewhere", 0.2, seed=7), 2.5, 4.0, number=3)
    shutil.copy(orphan, folder)
    alone = supply(make, plain, 2.5, 4.0, number=4)
    few = supply(make, noise, 2.5, 4.0, number=5)
    data = full_json(few)
    for attack in data["attacks"] + data["undefended"]:
        if attack["task"] == "verification":
            attack["metrics"]["genuine"] += 1
    few.write_text(json.dumps(data))
    (folder / f"{noise.stem}.junk.attack.json").write_text("{")
    found, refused = kept(folder)
    assert render([one.record for one in found]) == before
    said = {
        forged.name: "its SHA-256 differs",
        renamed.name: f"this is the supplement {foreign.name}; give it this name",
        orphan.name: "its record gaussian_noise-elsewhere1.070.json does not lie beside it",
        alone.name: "figures on undefended images are there for a defense, and for nothing else",
        few.name: "its pairs are not the record's",
        f"{noise.stem}.junk.attack.json": "no valid JSON",
    }
    assert len(refused) == len(said)
    for name, reason in said.items():
        assert [line for line in refused if f"{name}: " in line and reason in line], (name, refused)
    # Supplements of records that were not asked for are not looked at.
    assert with_supplements(read_kept([plain]))[1] == [line for line in refused if plain.stem in line.split(": ")[0]]


def test_a_copy_counts_once_and_two_of_one_id_are_named(make, board):
    folder, _, noise = board
    path = supply(make, noise, 1.5, 4.0)
    other = make.folder / "copy"
    shutil.copytree(folder, other)
    found, refused = with_supplements(read_kept([folder, other]), [folder, other])
    assert refused == []
    assert [len(one.record.supplied) for one in found if one.path == noise] == [2]
    change(other / path.name, command="reidbench attack --other")
    _, refused = with_supplements(read_kept([folder, other]), [folder, other])
    assert len(refused) == 1
    assert "two different supplements have the id" in refused[0]


def test_the_same_attacker_run_twice_counts_with_its_higher_figure(make, board):
    folder, _, noise = board
    paths = [supply(make, noise, strength, 4.0, number=n) for n, strength in enumerate((1.5, 1.4, 1.6))]
    values = [read_supplement(path).attacks[0].metrics.auc.value for path in paths]
    found = next(one.record for one in kept(folder)[0] if one.path == noise)
    assert len(found.supplied) == 2
    assert worst_verification(found).value == max(values)


def test_an_undefended_run_has_supplements_of_its_own(make, board):
    folder, plain, noise = board
    supply(make, plain, 4.0, None)
    found, refused = table(folder)
    assert not refused
    assert found["undefended"].worst(worst_verification).attack.attacker == "cells"
    # The noise was not attacked by it, and its drop does not count from it.
    own = worst_verification(read_named(plain)).value - worst_verification(read_named(noise)).value
    assert found["gaussian_noise"].drop(worst_verification).value == pytest.approx(own)


def test_without_its_scores_a_drop_has_no_interval(make, board):
    folder, _, noise = board
    supply(make, noise, 1.5, 4.0, keep_scores=False)
    drop = table(folder)[0]["gaussian_noise"].drop(worst_verification)
    assert drop.value is not None
    assert drop.low is None


def test_the_gate_compares_attackers_that_both_sides_have(make):
    old, new = make("base", 0.5), make("new", 0.5)
    supply(make, new, 2.5, 4.0)
    (found,) = compare(old, new, runs=RUNS)
    assert found.verdict == "ok"
    assert [note for note in found.notes if "Left out, since not all of the runs have a supplement" in note]
    supply(make, old, 0.6, 4.0)
    (found,) = compare(old.parent, new.parent, runs=RUNS)
    assert found.verdict == "regression"
    assert found.changes[0].where == ("ignorant o→r, cells",) * 2
    assert found.changes[0].paired
    change(next(new.parent.glob("*.attack.json")), record_sha256="0" * 64)
    with pytest.raises(ReidbenchError, match="SHA-256 differs"):
        compare(old.parent, new.parent, runs=RUNS)


def test_a_site_shows_the_source_and_the_history(make, board, tmp_path):
    folder, plain, noise = board
    for path in (plain, noise):
        # Of real patients, whose images no page shows: nothing is made again for it.
        data = json.loads(path.read_text())
        change(path, dataset=data["dataset"] | {"name": "chestxray14"})
    supply(make, noise, 1.5, 4.0)
    found, refused = with_supplements(read_for_boards([folder]), [folder], brief=True)
    assert refused == []
    pages = write_site(found, tmp_path / "site", ExampleSource(Registry(), tmp_path / "cache", Silent()))
    texts = {path.parent.name: path.read_text() for path in pages if noise.stem in path.name or "board" in str(path)}
    assert "cells, supplement of" in texts["boards"]
    assert "at the time of the record" in texts["boards"]
    page = texts["records"]
    assert '<h2 id="supplements">Supplements</h2>' in page
    assert "The strongest attack when the record was made, and with each supplement" in page
    assert "by cells, supplement of" in page
    alone = next(path.read_text() for path in pages if plain.stem in path.name)
    assert "Supplements" not in alone


def test_the_command_names_what_is_left_out_and_exits_with_2(make, board, command, tmp_path):
    folder, _, noise = board
    supply(make, noise, 1.5, 4.0)
    places = {"cwd": tmp_path, "cache": tmp_path / "cache"}
    command("leaderboard", str(folder), "--out=pages", "-q", **places)
    bad = change(supply(make, noise, 2.5, 4.0, number=2), record_sha256="0" * 64)
    done = command("leaderboard", str(folder), "--out=pages", "--check", "-q", check=2, **places)
    assert done.stderr.count(bad.name) == 1
    assert len(done.stderr.splitlines()) == 1


def test_supplements_are_no_records(make, board):
    folder, plain, noise = board
    supply(make, noise, 1.5, 4.0)
    assert record_paths([folder]) == sorted([plain, noise])
    assert np.all([not path.name.endswith(SUFFIX) for path in record_paths([folder])])
    assert worst_retrieval(kept(folder)[0][0].record) is not None
