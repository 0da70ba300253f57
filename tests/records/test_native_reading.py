"""The short way of reading records: what it finds is what the other way finds, and thousands fit into memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from reidbench import ReidbenchError
from reidbench.records.brief import LEFT_OUT, make_brief
from reidbench.records.form.attack_rows import in_full
from reidbench.records.native_reading import read_natively, read_natively_brief
from reidbench.records.schema import Classifier
from reidbench.records.store import judge_content, read_brief, read_record, record_text
from reidbench.report.figures.board.reading import read_for_boards
from reidbench.report.figures.paired.drops import paired_drops
from reidbench.report.figures.paired.matching import read_kept
from reidbench.report.site.board import boards
from reidbench.report.text.leaderboard import render

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
PATHS = sorted(RECORDS.glob("*.json"))
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))


@pytest.fixture(scope="module")
def sample() -> dict:
    data = json.loads(sorted(RECORDS.glob("flow_field-*.json"))[0].read_text())
    return in_full(data, ("attacks", "undefended"))


def older(defense: dict, epochs) -> dict:
    """A defense from before stand-ins were named."""
    return {name: value for name, value in defense.items() if name != "published"} | {"options": {"epochs": epochs}}


def ranking(data: dict) -> dict:
    """The figures of a ranking in a record."""
    return next(attack["metrics"] for attack in data["attacks"] if attack["task"] == "retrieval")


def native(data: dict):
    content = json.dumps(data).encode()
    whole = read_natively(content)
    # What is left out of a brief record is not left unchecked.
    assert (read_natively_brief(content) is None) == (whole is None)
    return whole


def test_every_record_of_the_newest_form_takes_the_short_way_and_is_the_same_record():
    # One of each defense and dataset, and what older versions wrote.
    each = {(path.name.rpartition("-")[0], path.read_bytes().count(b'"phantom"') > 1): path for path in PATHS}
    newest = [path for path in (*each.values(), *SAMPLES) if json.loads(path.read_text())["schema_version"] == 2]
    assert len(newest) > 25
    for path in newest:
        content = path.read_bytes()
        short, usual = read_natively(content), judge_content(path, content)
        assert short == usual
        assert short is not None
        # Down to what was given and what was left out.
        assert short.model_fields_set == usual.model_fields_set
        assert record_text(short) == record_text(usual)
        assert short.model_dump_json(exclude_unset=True) == usual.model_dump_json(exclude_unset=True)
        # A brief one is validated in another way, and is what is made of a whole one.
        brief = read_natively_brief(content)
        assert brief is not None
        assert brief.model_dump_json(exclude_unset=True) == make_brief(short).model_dump_json(exclude_unset=True)


def test_older_records_take_the_other_way(tmp_path):
    old = [path for path in SAMPLES if json.loads(path.read_text())["schema_version"] == 1]
    assert old
    for path in old:
        assert read_natively(path.read_bytes()) is None
        assert read_natively(record_text(read_record(path)).encode()) == read_record(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(unknown=1),
        lambda data: data.update(seed=-1),
        lambda data: data.update(seed="0"),
        lambda data: data.update(bootstrap_runs=10**9),
        lambda data: data.update(id="../x"),
        lambda data: data.update(created="yesterday"),
        lambda data: data.pop("trainings"),
        lambda data: data["trainings"].clear(),
        lambda data: data["attacks"][0].update(task="other"),
        lambda data: data["attacks"][0].update(training=7),
        lambda data: data["attacks"][0]["metrics"].update(auc=[0.5, 0.4]),
        lambda data: data["attacks"][0]["metrics"].update(auc=[0.5, 0.4, 101]),
        lambda data: data["attacks"][0]["metrics"].update(auc=[0.5, 0.4, 0.6, "why", "more"]),
        lambda data: data["attacks"][0]["metrics"].update(calibrated=[0.1, 1, 2, 3]),
        lambda data: data["attacks"][0]["metrics"].update(calibrated=[0.1, 1, 2, 3, -4]),
        # Of what boards leave out, too.
        lambda data: data["attacks"][0]["metrics"].update(eer=[0.5, 0.4]),
        lambda data: data["attacks"][0]["metrics"].update(eer=[0.5, 0.4, 101]),
        lambda data: data["attacks"][0]["metrics"].update(eer=[0.5, 0.4, 0.6, "\x1b"]),
        lambda data: data["attacks"][0]["metrics"].update(at_half=[0.1, 1, 2, 3]),
        lambda data: data["attacks"][0]["metrics"].update(strata={"sex": {"source": "sex"}}),
        lambda data: data["attacks"][0]["metrics"].pop("auc_pairs"),
        lambda data: ranking(data).update(chance={"map_at_r": 1e50}),
        lambda data: ranking(data)["risk"].update(unknown=1),
        lambda data: ranking(data)["risk"].pop("best_rank"),
        lambda data: data["utility"]["classifiers"][0]["per_label"].update(finding=[0.5]),
        lambda data: data["defense"].update(options={"text": "\x1b[2J"}),
        lambda data: data.update(defense=older(data["defense"], "many")),
        lambda data: data["dataset"]["patients"].pop("train"),
        lambda data: next(iter(data["trainings"].values()))["history"].append({"loss": 1e308}),
    ],
)  # fmt: skip
def test_what_the_short_way_refuses_is_refused_or_decided_by_the_other(sample, change, tmp_path):
    data = json.loads(json.dumps(sample))
    assert native(data) is not None
    change(data)
    assert native(data) is None
    # A form that records may have, though no file of today has it.
    lenient = data["seed"] == "0"
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(data))
    if lenient:
        assert read_record(path).seed == 0
    else:
        with pytest.raises(ReidbenchError, match=r"changed\.json"):
            read_record(path)


def test_a_stand_in_of_an_older_record_is_named_on_both_ways(sample, tmp_path):
    data = json.loads(json.dumps(sample))
    data["defense"] = older(data["defense"], 3)
    path = tmp_path / "stand_in.json"
    path.write_text(json.dumps(data))
    short = native(data)
    assert short is not None
    assert short.defense.published == {"epochs": 32}
    assert short == judge_content(path, path.read_bytes())


def test_long_numbers_of_a_history_are_rounded_on_both_ways(sample, tmp_path):
    data = json.loads(json.dumps(sample))
    training = next(iter(data["trainings"].values()))
    training["history"] = [{"epoch": 1, "loss": 0.123456789, "steps": 123456789, "none": None}]
    path = tmp_path / "long.json"
    path.write_text(json.dumps(data))
    record = native(data)
    assert record == judge_content(path, path.read_bytes())
    assert read_natively(record_text(record).encode()) == record, "whole numbers are rounded as they are written"


def test_boards_of_brief_records_are_those_of_whole_ones():
    # Published models, and the smaller boards of images with their controls.
    some = [
        path for path in PATHS if b'"track": "model"' in (text := path.read_bytes()) or b'"name":"phantom"' not in text
    ]
    whole, brief = read_kept(some), read_for_boards(some)
    assert [one.path for one in whole] == [one.path for one in brief]
    assert [one.whole().record for one in brief] == [one.record for one in whole]
    assert [one.record for one in brief] != [one.record for one in whole]
    drops = paired_drops(whole, runs=20)
    assert paired_drops(brief, runs=20) == drops
    records, shorter = ([one.record for one in kept] for kept in (whole, brief))
    assert render(shorter, drops) == render(records, drops)
    for one, other in zip(boards(records, drops), boards(shorter, drops), strict=True):
        assert (one.title, one.chart, one.controls, one.shared) == (
            other.title,
            other.chart,
            other.controls,
            other.shared,
        )
        assert [line.cells for line in one.lines] == [line.cells for line in other.lines]


def test_what_a_brief_record_lacks_is_what_is_said_to_be_left_out(sample):
    path = sorted(RECORDS.glob("flow_field-*.json"))[0]
    whole, brief = read_record(path), read_brief(path, lambda record: False)
    assert read_brief(path, lambda record: True) == whole
    for before, after in zip(whole.attacks, brief.attacks, strict=True):
        left_out = LEFT_OUT[type(before.metrics)]
        for name in type(before.metrics).model_fields:
            kept = left_out[name] if name in left_out else getattr(before.metrics, name)
            assert getattr(after.metrics, name) == kept
        if before.training is not None:
            assert after.training.history == []
    # Of an attacker that is taken from a bundle there is none.
    assert any(one.training.history for one in whole.attacks if one.training is not None)
    assert all(classifier.per_label for classifier in whole.utility.classifiers)
    assert [one.per_label for one in brief.utility.classifiers] == [
        LEFT_OUT[Classifier]["per_label"] for _ in whole.utility.classifiers
    ]


def test_records_that_differ_only_in_what_boards_leave_out_are_two_records(tmp_path):
    path = sorted(RECORDS.glob("jpeg-*.json"))[0]
    first, second = tmp_path / "a" / path.name, tmp_path / "b" / path.name
    for copy in (first, second):
        copy.parent.mkdir()
        shutil.copy(path, copy)
    assert len(read_for_boards([first, second])) == 1
    data = in_full(json.loads(path.read_text()), ["attacks"])
    verified = next(one for one in data["attacks"] if one["task"] == "verification")
    verified["metrics"]["eer"][0] += 0.001
    second.write_text(json.dumps(data))
    with pytest.raises(ReidbenchError, match="two different records have the id"):
        read_for_boards([first, second])
