"""Supplements are read within bounds, say one thing throughout, and replace nothing."""

from __future__ import annotations

import json

import pytest
from compared_runs import Maker
from record_files import full_json
from supplements import supply

from reidbench import ReidbenchError
from reidbench.records.scores import read_scores
from reidbench.records.store import read_named
from reidbench.records.supplements.files import (
    MAX_BYTES,
    read_supplement,
    scores_path,
    supplement_text,
    write_supplement,
)
from reidbench.records.supplements.recompute import recompute_supplement


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A supplement's file beside its record."""
    make = Maker(tmp_path_factory.mktemp("supplement"))
    record = make("runs", 0.5)
    return {"record": record, "path": supply(make, record, 1.5, 4.0)}


def test_what_is_written_is_read(made, tmp_path):
    found = read_supplement(made["path"])
    assert supplement_text(found).encode() == made["path"].read_bytes()
    assert write_supplement(found, tmp_path).read_bytes() == made["path"].read_bytes()
    # A training stands once, and attacks name it.
    data = full_json(made["path"])
    assert set(data["trainings"]) == {attack["training"] for attack in data["attacks"]}


def test_nothing_is_overwritten(made, tmp_path):
    found = read_supplement(made["path"])
    other = tmp_path / made["path"].name
    other.write_text("mine")
    with pytest.raises(ReidbenchError, match="it is there already"):
        write_supplement(found, tmp_path)
    assert other.read_text() == "mine"


def attacks(data):
    return [*data["attacks"], *data["undefended"]]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data.update(supplement_version=2), "newer than this reidbench reads"),
        (lambda data: data.update(supplement_version=0), "supplement_version"),
        (lambda data: data.update(more=1), "more"),
        (lambda data: data.update(id="../x"), "id"),
        (lambda data: data.update(defense="../x"), "defense"),
        (lambda data: data.update(record_sha256="x"), "record_sha256"),
        (lambda data: data.update(attacks=[]), "attacks"),
        (lambda data: data.update(attacks=[data["attacks"][0]] * 300), "attacks"),
        (lambda data: data["attacker"].update(name="n" * 41), "attacker.name"),
        (lambda data: data["attacker"].update(name="reranking"), "all attacks are by the attacker"),
        (lambda data: data["attacks"][0].update(attacker="other"), "all attacks are by the attacker"),
        (lambda data: data["attacks"].append(data["attacks"][0]), "an attack stands there twice"),
        (lambda data: data["undefended"].pop(), "other attacks than the release"),
        (lambda data: data["attacks"][0].update(training="000000000000"), "there is no training"),
        (lambda data: [one.update(task="retrieval") for one in attacks(data)], "those of its task"),
        (lambda data: [one.update(negatives="random") for one in attacks(data)], "those of its task"),
        (lambda data: data["attacks"][0]["metrics"].update(auc=[1e300, 0, 1]), "auc"),
        (lambda data: data["attacks"][0]["metrics"].update(strata={}), "a supplement has no strata"),
        (lambda data: data.update(command="\x1b[2J"), "command"),
        (lambda data: data.update(timings={"x": -1}), "timings"),
    ],
)
def test_what_is_no_supplement_is_refused_in_one_line(made, tmp_path, change, what):
    data = full_json(made["path"])
    change(data)
    path = tmp_path / made["path"].name
    path.write_text(json.dumps(data))
    with pytest.raises(ReidbenchError, match=what) as error:
        read_supplement(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{" + b" " * MAX_BYTES, b'{"trainings": 1}', b"[" * 10_000])
def test_files_that_are_none_are_refused(made, tmp_path, content):
    path = tmp_path / made["path"].name
    path.write_bytes(content)
    with pytest.raises(ReidbenchError, match=r"no supplement|no valid JSON"):
        read_supplement(path)


def test_the_name_is_that_of_the_contents(made, tmp_path):
    path = tmp_path / f"x{made['path'].name}"
    path.write_bytes(made["path"].read_bytes())
    with pytest.raises(ReidbenchError, match="give it this name"):
        read_supplement(path)


def test_figures_that_its_scores_do_not_give_are_named(made):
    found, record = read_supplement(made["path"]), read_named(made["record"])
    scores = read_scores(scores_path(made["path"]), found.scores_sha256)
    told = recompute_supplement(found, record, scores)
    # The attackers of these tests keep no ranks, which is missed; the figures of pairs agree.
    assert {one.field for one in told.mismatches if "metrics" in one.field and "auc" in one.field} == set()
    assert {"attacks (retrieval)", "undefended (retrieval)"} <= {one.field for one in told.mismatches}
    assert "attacks[].training" in told.on_trust
    assert "hyperparameters" in told.on_trust
