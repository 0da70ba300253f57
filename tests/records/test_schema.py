"""Records: whole or not at all, null where undefined, old ones loadable, nothing unknown accepted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from record_files import full_json

from reidbench import ReidbenchError, metrics
from reidbench.records.form.attack_rows import KINDS
from reidbench.records.parts.common import DifferenceInterval, Interval
from reidbench.records.schema import SCHEMA_VERSION, Decision, Fidelity
from reidbench.records.store import read_record, read_records, record_text, write_record
from reidbench.records.strata import keep_headline_strata
from reidbench.report.text.leaderboard import render

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))
COMMITTED = sorted((Path(__file__).parents[2] / "leaderboards" / "records").glob("*.json"))


def test_there_is_a_sample_of_every_schema_version():
    samples = [json.loads(path.read_text()) for path in SAMPLES]
    assert {one["schema_version"] for one in samples} == set(range(1, SCHEMA_VERSION + 1))
    # And of both forms that attacks of the newest one have.
    assert {KINDS in one for one in samples if one["schema_version"] == SCHEMA_VERSION} == {True, False}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_record_writes_back_as_it_was_read(path, tmp_path):
    record = read_record(path)
    written = write_record(record, tmp_path)
    assert read_record(written) == record
    assert record_text(read_record(written)) == written.read_text()
    told = json.loads(path.read_text())
    if told["schema_version"] == SCHEMA_VERSION:
        # The phantom had one version when the samples were written.
        stated = path.read_text().replace('"options":{"patients"', '"options":{"version":1,"patients"')
        assert written.read_text() == stated or KINDS not in told
        path = tmp_path / "stated.json"
        path.write_text(stated)
        # Its attacks stood in full before: the same is said of them, in the same order.
        assert json.dumps(full_json(written)) == json.dumps(full_json(path))


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.name.startswith("v1-")], ids=lambda path: path.name)
def test_an_older_record_keeps_every_figure(path):
    data = json.loads(path.read_text())
    assert data["schema_version"] == 1
    record = json.loads(read_record(path).model_dump_json(by_alias=True))
    divided = []
    for before, after in zip(data.pop("attacks"), record.pop("attacks"), strict=True):
        old, new = before.pop("metrics"), after.pop("metrics")
        if strata := old.pop("strata", None):
            divided.append((old["auc"]["value"], strata, new.pop("strata", None)))
        for name in ("at_half", "calibrated"):
            rates, counts = old.pop(name, None), new.pop(name, None)
            assert (rates is None) == (counts is None)
            if rates is not None:
                found = Decision(**counts)
                for rate in ("threshold", "accuracy", "specificity", "recall", "precision", "f1"):
                    assert getattr(found, rate) == pytest.approx(rates[rate], abs=1e-12)
                assert found.true_positives + found.false_negatives == old["genuine"]
                assert found.true_negatives + found.false_positives == old["impostor"]
        assert old == new
        for one in (before, after):
            for training in filter(None, (one["training"], one.get("restoration"))):
                for row in training["history"]:
                    row.update({name: value and pytest.approx(value, rel=1e-5) for name, value in row.items()})
        assert before == after
    # The strongest of those that have strata keeps them, the others have none.
    for auc, before, after in divided:
        assert after == (before if auc == max(auc for auc, *_ in divided) else None)
    for name in ("impostors", "intervals"):
        del data[name]
    data["dataset"]["options"]["version"] = 1
    utility, upgraded = data.pop("utility"), record.pop("utility")
    assert data | {"schema_version": SCHEMA_VERSION} == record
    for one in (utility, upgraded):
        for classifier in one["classifiers"] if one else ():
            del classifier["training"]["history"]
    assert utility == upgraded


@pytest.mark.parametrize("flag", ["impostors", "intervals"])
@pytest.mark.parametrize("value", ["drawn", "percentile", None])
def test_figures_of_a_kind_that_no_longer_compares_are_to_be_made_again(tmp_path, flag, value):
    data = json.loads(SAMPLES[0].read_text())
    assert data["schema_version"] == 1
    data[flag] = value
    if value is None:
        del data[flag]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ReidbenchError, match=r"old\.json: .* make it again with `reidbench run`"):
        read_record(path)


@pytest.mark.parametrize(
    ("name", "distribution", "epochs", "told"),
    [
        ("privacy_net", "reidbench", 4, {"epochs": 32}),
        ("privacy_net", "reidbench", 32, None),
        ("privacy_net", "another", 4, None),
        ("gaussian_noise", "reidbench", 4, None),
    ],
)
def test_a_record_from_before_stand_ins_were_named_names_them(tmp_path, name, distribution, epochs, told):
    data = json.loads(SAMPLES[-1].read_text())
    data["defense"] |= {"name": name, "distribution": distribution, "options": {"epochs": epochs}}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(data))
    assert read_record(path).defense.published == told


@pytest.mark.parametrize(
    ("name", "options", "told", "title"),
    [
        # There was no other version when these were written.
        ("phantom", {"patients": 600}, {"version": 1, "patients": 600}, "phantom-1"),
        ("phantom", {"version": 2, "patients": 600}, {"version": 2, "patients": 600}, "phantom"),
        ("chestxray14", {}, {}, "chestxray14"),
    ],
)
def test_a_record_from_before_an_option_states_it_and_has_boards_of_its_own(tmp_path, name, options, told, title):
    data = json.loads(SAMPLES[-1].read_text())
    data["dataset"] |= {"name": name, "options": options}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(data))
    found = read_record(path)
    assert found.dataset.options == told
    assert found.dataset.title == title
    assert set(render([found])) == {f"{title}.md", f"{title}.csv", f"{title}.svg"}


def test_trainings_stand_once_and_a_missing_one_is_named(tmp_path):
    path = write_record(read_record(SAMPLES[0]), tmp_path)
    data = full_json(path)
    keys = {attack["training"] for attack in data["attacks"] if attack["training"]}
    assert keys
    assert keys <= data["trainings"].keys()
    assert len(data["trainings"]) < len(data["attacks"])
    removed = min(keys)
    del data["trainings"][removed]
    path.write_text(json.dumps(data))
    with pytest.raises(ReidbenchError, match=f"there is no training '{removed}'"):
        read_record(path)


def test_committed_records_are_of_the_newest_schema_and_small():
    assert len(COMMITTED) > 100
    for path in COMMITTED:
        assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION, path.name
    assert sum(path.stat().st_size for path in COMMITTED) / len(COMMITTED) < 60_000


def test_only_the_strongest_attack_keeps_its_strata():
    attack = next(a for a in read_record(SAMPLES[1]).attacks if a.task == "verification" and a.metrics.strata)

    def scored(auc, strata=attack.metrics.strata):
        figures = {"auc": Interval(value=auc, low=None, high=None), "strata": strata}
        return attack.model_copy(update={"metrics": attack.metrics.model_copy(update=figures)})

    kept = keep_headline_strata([scored(0.7), scored(0.9), scored(0.95, None), scored(None), scored(0.9)])
    assert [one.metrics.strata is not None for one in kept] == [False, True, False, False, False]
    assert kept[1].metrics.strata == attack.metrics.strata
    assert keep_headline_strata([]) == []


def test_what_is_undefined_is_null():
    made = Interval(value=math.nan, low=math.inf, high=None)
    assert made.model_dump_json() == '{"value":null,"low":null,"high":null}'
    assert Fidelity(ssim=1.0, psnr=math.inf).psnr is None


def test_a_figure_without_ends_says_why_and_one_with_them_says_nothing():
    nan = math.nan
    few = Interval.of(metrics.Interval(0.25, nan, nan, "too few"))
    assert few.model_dump_json() == '{"value":0.25,"low":null,"high":null,"why_unbounded":"too few"}'
    assert Interval.model_validate_json(few.model_dump_json()) == few
    assert Interval.of(metrics.Interval(0.25, 0.2, 0.3)).model_dump() == {"value": 0.25, "low": 0.2, "high": 0.3}


def test_a_figure_has_eight_digits_in_memory_as_in_a_file():
    found = Interval.of(metrics.Interval(2 / 3, 1e-12 / 3, -100 / 3))
    assert (found.value, found.low, found.high) == (0.66666667, 3.3333333e-13, -33.333333)
    assert Interval.model_validate_json(found.model_dump_json()) == found
    # What older records have in full is read as it is.
    assert Interval.model_validate([2 / 3, 0.0, 1.0]).value == 2 / 3


@pytest.mark.parametrize(
    ("part", "found", "what"),
    [
        (("utility", "classifiers", 0, "macro_auc"), [50, 0.4, 0.6], "macro_auc.value: input should be less than"),
        (("utility", "classifiers", 0, "macro_auc"), [0.5, -0.1, 0.6], "macro_auc.low: input should be greater than"),
        (("drops", "auc", "fall"), [1.5, 0.4, 0.6], "fall.value: input should be less than"),
        (("inference", "attributes", "sex", "table"), [0.5, 0.4, 1.1], "table.high: input should be less than"),
    ],
)
def test_a_figure_that_no_run_can_give_is_refused(tmp_path, part, found, what):
    data = json.loads(next(one for one in COMMITTED if one.name.startswith("gaussian_noise")).read_text())
    *way, last = part
    inner = data
    for key in way:
        inner = inner[key]
    assert len(inner[last]) == 3
    inner[last] = found
    (path := tmp_path / "record.json").write_text(json.dumps(data))
    with pytest.raises(ReidbenchError, match=re.escape(what)):
        read_record(path)


def test_a_difference_of_few_patients_may_end_beyond_one():
    assert DifferenceInterval(value=0.4, low=-0.6, high=1.4).high == 1.4


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data.update(schema_version=SCHEMA_VERSION + 1), "is newer than this reidbench reads"),
        (lambda data: data.pop("attacks"), "attacks: field required"),
        (lambda data: data.update(surprise=1), "surprise: extra inputs are not permitted"),
        (lambda data: data["attacks"][0].update(knowledge="psychic"), "knowledge"),
        (lambda data: data.clear(), "field required"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, change, what):
    data = json.loads(SAMPLES[0].read_text())
    change(data)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ReidbenchError) as caught:
        read_record(path)
    assert what in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(ReidbenchError, match="cannot be read"):
        read_record(tmp_path / "nothing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ReidbenchError, match="no valid JSON"):
        read_record(tmp_path / "broken.json")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    record = read_record(SAMPLES[0])

    def full(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ReidbenchError, match="cannot write the record: disk full"):
        write_record(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_are_read_without_duplicates(tmp_path):
    record = read_record(SAMPLES[0])
    path = write_record(record, tmp_path)
    assert [r.id for r in read_records([tmp_path, path])] == [record.id]
