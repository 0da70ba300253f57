"""`reidbench attack`: a supplement beside a record, made by another attacker and held to what the record says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from record_files import full_json
from typer.testing import CliRunner

from reidbench import ReidbenchError
from reidbench.choosing import choose_dataset
from reidbench.cli.app import app
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.records.store import read_named
from reidbench.records.supplements.content import source_of
from reidbench.records.supplements.files import read_supplement, scores_path
from reidbench.report.figures.paired.matching import read_kept
from reidbench.report.figures.submission import check_submissions, exit_code, find_records
from reidbench.report.figures.summary import worst_verification
from reidbench.report.figures.supplied import with_supplements
from reidbench.studies.attack import attack_record, read_target, recorded_dataset, settings_for

ATTACKERS = Path(__file__).parents[1] / "helpers" / "attackers"
NOT_TOLD = ("strata", "at_half", "auc_all_pairs")
RUNGS = ("ignorant/original-released", "informed/original-released")


def attack(tiny_run, path: Path, dataset: str | None = None, attacker: str = "cells", rungs=RUNGS, **changes) -> Path:
    registry = Registry([tiny_run["plugins"], ATTACKERS])
    target = read_target(path)
    told = {"overrides": {}, "rungs": rungs, "bundle": None, "pairs": None, "command": "reidbench attack"}
    found = {**told, "device": torch.device("cpu"), "cache": tiny_run["cache"], **changes}
    settings = settings_for(target, registry, attacker=attacker, **found)
    named = recorded_dataset(target, registry, None) if dataset is None else choose_dataset(registry, dataset, None)
    return attack_record(target, named, registry, settings, strict=False, progress=Silent())


@pytest.fixture(scope="module")
def supplied(tiny_run, tmp_path_factory):
    """A copy of the tiny run, with a supplement of the strong noise."""
    folder = tmp_path_factory.mktemp("supplied")
    for path in tiny_run["runs"].iterdir():
        shutil.copy(path, folder)
    records = {r.defense.options.get("sigma", 0.0): folder / f"{r.stem}.json" for r in tiny_run["records"]}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    made = attack(tiny_run, records[0.5])
    assert {path: path.read_bytes() for path in before} == before, "the record stays as it is"
    return {"folder": folder, "records": records, "path": made}


def test_a_supplement_has_its_figures_and_where_they_come_from(supplied):
    record, made = read_named(supplied["records"][0.5]), read_supplement(supplied["path"])
    assert supplied["path"].name == f"{record.stem}.cells-{made.id}.attack.json"
    assert (made.record_id, made.defense, made.attacker.distribution) == (record.id, "gaussian_noise", "cells.py")
    assert made.hyperparameters["cells"] == {"side": 3}
    assert made.hyperparameters["restorer"] == record.hyperparameters["restorer"]
    assert made.reidbench_version == record.reidbench_version
    for attacks in (made.attacks, made.undefended):
        assert {(one.knowledge, one.linkage) for one in attacks} == {tuple(rung.split("/")) for rung in RUNGS}
        assert {one.attacker for one in attacks} == {"cells", "reranking"}
        assert len(attacks) == 2 * 2 * 3
    # On the images of the record: the same pairs and probes, and a drop on every rung.
    for after, before in zip(made.attacks, made.undefended):
        if after.task == "verification" and after.negatives == "random":
            assert after.metrics.auc.value < before.metrics.auc.value


def test_an_attacker_from_a_file_beats_those_of_the_record(supplied):
    found, refused = with_supplements(read_kept([supplied["folder"]]), [supplied["folder"]])
    assert refused == []
    record = next(one.record for one in found if one.path == supplied["records"][0.5])
    own, both = worst_verification(record.with_supplied(()), "random"), worst_verification(record, "random")
    assert both.value > own.value
    assert source_of(both.attack).path == supplied["path"]
    assert both.attack.attacker in ("cells", "reranking of cells")


def test_the_check_computes_its_figures_again(supplied, tmp_path):
    for path in supplied["folder"].glob("gaussian_noise-*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / supplied["path"].name
    (found,) = check_submissions([path], Silent())
    assert (found.status, found.mismatches) == ("agrees", ())
    assert found.checked > 200
    # It gives no probability, and so no decision at one half.
    untold = {f"{side}[].metrics.{name}" for side in ("attacks", "undefended") for name in NOT_TOLD}
    assert {name for name in found.on_trust if "metrics" in name} == untold
    assert path in find_records([tmp_path])
    whole = full_json(path)

    def checked(**fields):
        path.write_text(json.dumps(whole | fields))
        (result,) = check_submissions([path], Silent())
        return result

    for field in ("attacks", "undefended"):
        attacks = json.loads(json.dumps(whole[field]))
        attacks[0]["metrics"]["auc"][0] += 0.01
        found = checked(**{field: attacks})
        assert [one.field for one in found.mismatches] == [f"{field}[0].metrics.auc.value"]
        assert exit_code([found]) == 1
    fewer = {field: whole[field][1:] for field in ("attacks", "undefended")}
    assert "attacks (verification)" in {one.field for one in checked(**fewer).mismatches}
    assert [one.field for one in checked(record_sha256="0" * 64).mismatches] == ["record_sha256"]
    assert [one.field for one in checked(scores_sha256="0" * 64).mismatches] == ["scores_sha256"]
    assert "only be taken on trust" in checked(scores_sha256=None).not_checked
    scores_path(path).unlink()
    assert "its scores are not beside it" in checked().not_checked
    (tmp_path / supplied["records"][0.5].name).unlink()
    assert exit_code([checked()]) == 2
    assert "its record is not beside it" in checked().not_checked


def test_what_is_there_is_not_made_again_and_nothing_is_replaced(tiny_run, supplied, tmp_path):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in supplied["folder"].iterdir()}
    assert attack(tiny_run, supplied["records"][0.5]) == supplied["path"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in supplied["folder"].iterdir()} == before
    record = shutil.copy(supplied["records"][0.5], tmp_path)
    for ending in (supplied["path"], scores_path(supplied["path"])):
        foreign = tmp_path / ending.name
        foreign.write_text("mine")
        with pytest.raises(ReidbenchError, match=r"no valid JSON|holds no scores; remove it"):
            attack(tiny_run, Path(record))
        assert foreign.read_text() == "mine"
        foreign.unlink()


def edited(path: Path, folder: Path, change) -> Path:
    data = full_json(path)
    change(data)
    made = folder / path.name
    made.write_text(json.dumps(data))
    return made


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data["dataset"].update(revision="f" * 64), "the record is of revision ffffffffffff of phantom"),
        (lambda data: data.update(reidbench_version="0.0.1"), "made by reidbench 0.0.1, and this is"),
        (lambda data: data["defense"].update(version="0.0.1"), "its defense gaussian_noise is of reidbench 0.0.1"),
        (lambda data: data.update(release_sha256="f" * 64), "the release made here is not the record's"),
        (lambda data: data["defense"]["options"].update(sigma=0.4), "the release made here is not the record's"),
        (lambda data: data.update(seed=1), "the release made here is not the record's"),
        (lambda data: data["defense"]["options"].update(other=1), "other"),
        (lambda data: data.pop("release_sha256"), None),
        (
            lambda data: [data.pop("release_sha256"), data["defense"]["options"].update(sigma=0.49)],
            "the release made here is not the record's",
        ),
        (lambda data: [data.pop("release_sha256"), data.update(utility=None)], "has no digest of its release"),
        (lambda data: data["overrides"].update(pairs="f" * 64), "made with a list of pairs"),
    ],
)
def test_a_release_that_is_not_the_record_s_is_one_line(tiny_run, supplied, tmp_path, change, what):
    path = edited(supplied["records"][0.5], tmp_path, change)
    if what is None:
        # Earlier records have no digest: their images are known by how alike they and the originals are.
        assert attack(tiny_run, path, rungs=RUNGS[:1]).is_file()
        return
    with pytest.raises(ReidbenchError, match=what) as error:
        attack(tiny_run, path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_other_options_than_the_attacker_s_are_the_record_s(tiny_run, supplied):
    path = supplied["records"][0.5]
    with pytest.raises(ReidbenchError, match=r"--set bootstrap_runs: only cells\.<option> and restorer"):
        attack(tiny_run, path, overrides={"bootstrap_runs": "5"})
    with pytest.raises(ReidbenchError, match="the record is of revision"):
        attack(tiny_run, path, dataset="phantom:patients=48")
    with pytest.raises(ReidbenchError, match="reserved"):
        attack(tiny_run, path, attacker="fusion")
    assert read_target(path).record.release_sha256 is not None


def test_the_command_prints_what_it_found(tiny_run, supplied, monkeypatch):
    monkeypatch.setenv("REIDBENCH_CACHE", str(tiny_run["cache"]))
    words = ["attack", str(supplied["records"][0.0]), "--attacker=cells", "--set=cells.side=4", f"--rung={RUNGS[0]}"]
    done = CliRunner().invoke(app, [*words, f"--plugins-dir={ATTACKERS}", "--device=cpu", "-q"])
    assert done.exit_code == 0, done.output
    assert "cells, ignorant, original-released, random" in done.output
    assert "AUC of the strongest attack: " in done.output
    (path,) = supplied["folder"].glob("undefended-*.cells-*.attack.json")
    made = read_supplement(path)
    assert made.undefended == []
    assert made.hyperparameters["cells"] == {"side": 4}
    assert made.command.startswith("reidbench attack FILE --attacker cells")
    assert "/" not in made.command.replace(RUNGS[0], "")
    with pytest.raises(ReidbenchError, match="unknown attacker"):
        CliRunner().invoke(app, ["attack", str(path.parent / supplied["records"][0.0].name), "--attacker=none-such"],
                           catch_exceptions=False)  # fmt: skip
