"""Records: whole or not at all, null where undefined, old ones loadable, nothing unknown accepted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from reidbench import ReidbenchError, metrics
from reidbench.records.schema import SCHEMA_VERSION, Fidelity, Interval
from reidbench.records.store import read_record, read_records, write_record

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))


def test_there_is_a_sample_of_every_schema_version():
    assert {json.loads(path.read_text())["schema_version"] for path in SAMPLES} == set(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_an_old_record_stays_loadable_and_writes_back_as_it_was(path, tmp_path):
    record = read_record(path)
    assert json.loads(write_record(record, tmp_path).read_text()) == json.loads(path.read_text())


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


def test_an_old_record_has_the_intervals_of_its_time():
    assert {read_record(path).intervals for path in SAMPLES} == {"percentile"}


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
    with pytest.raises(OSError, match="disk full"):
        write_record(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_are_read_without_duplicates(tmp_path):
    record = read_record(SAMPLES[0])
    path = write_record(record, tmp_path)
    assert [r.id for r in read_records([tmp_path, path])] == [record.id]
