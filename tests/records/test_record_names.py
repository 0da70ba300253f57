"""Names in a record that files are called by: no record from elsewhere leads out of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reidbench import ReidbenchError
from reidbench.plugins import Registry
from reidbench.records.store import read_record

SAMPLE = Path(__file__).parent / "samples" / "v1-gaussian_noise.json"
COMMITTED = sorted((Path(__file__).parents[2] / "leaderboards" / "records").glob("*.json"))
FIELDS = ("id", "baseline_id", "dataset.name", "defense.name")


def renamed(folder: Path, field: str, name: str) -> Path:
    data = json.loads(SAMPLE.read_text())
    part, _, last = field.rpartition(".")
    (data[part] if part else data)[last] = name
    path = folder / "record.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", ["../../../pwn", "/etc/passwd", "a\\b", "C:x", ".hidden", "..", "*", "", "a\n", "a b"])
def test_a_name_that_leads_elsewhere_is_refused_in_one_line(tmp_path, field, name):
    path = renamed(tmp_path, field, name)
    with pytest.raises(ReidbenchError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: no reidbench record: {field}: files are named by it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", ["dp_pix", "0159d7c9be9cbe6c", "_own", "dp-pix.v2"])
def test_names_of_plugins_and_digests_are_read(tmp_path, field, name):
    assert read_record(renamed(tmp_path, field, name)).model_dump()


def test_committed_records_and_installed_plugins_have_such_names(tmp_path):
    assert len([read_record(path) for path in COMMITTED]) > 100
    for kind, field in (("defense", "defense.name"), ("dataset", "dataset.name")):
        for found in Registry().found(kind):
            read_record(renamed(tmp_path, field, found.name))
