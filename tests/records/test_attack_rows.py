"""Attacks as rows: all that was said is read again, a record stays small, and a small file stands for no large one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidbench import ReidbenchError
from reidbench.records.form.attack_rows import KINDS, MOST_IN_FULL, as_rows, in_full
from reidbench.records.native_reading import read_natively, read_natively_brief
from reidbench.records.schema import Record
from reidbench.records.store import read_record, record_text, write_record

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
# One of each defense: they differ in what their attacks have.
EACH = list({path.name.rpartition("-")[0]: path for path in sorted(RECORDS.glob("*.json"))}.values())
BOTH = ("attacks", "undefended")

leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.sampled_from("ab"))
values = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.lists(below, max_size=5), st.dictionaries(st.sampled_from(["auc", "risk", "0.05", ""]), below, max_size=3)
    ),
    max_leaves=8,
)
attacks = st.lists(st.dictionaries(st.sampled_from(["task", "negatives", "metrics", "training"]), values), max_size=6)


@given(attacks, attacks)
def test_all_that_was_said_is_read_again_in_its_order(first, second):
    kinds, (rows, others) = as_rows([first, second])
    read = in_full({"id": "x", KINDS: json.loads(json.dumps(kinds)), "attacks": rows, "undefended": others}, BOTH)
    # As JSON: 1 is neither True nor 1.0, and names stay in their order.
    assert json.dumps(read) == json.dumps({"id": "x", "attacks": first, "undefended": second})


def test_every_committed_record_is_the_same_in_rows(tmp_path):
    assert len(EACH) > 20
    for path in EACH:
        record = read_record(path)
        written = write_record(record, tmp_path)
        assert read_record(written) == read_natively(written.read_bytes()) == record
        if KINDS in json.loads(path.read_text("utf-8")):
            assert written.read_bytes() == path.read_bytes()
        else:
            assert written.stat().st_size < 0.9 * path.stat().st_size


def test_with_all_attacks_of_a_run_records_are_below_sixty_kilobytes_on_average():
    """Records from before scores were revised have fewer attacks."""
    sizes = [len(record_text(record).encode()) for record in map(read_record, EACH) if len(record.attacks) == 72]
    assert len(sizes) > 10
    assert sum(sizes) / len(sizes) < 60_000


def test_a_record_without_an_attack_has_no_kinds():
    record = read_record(EACH[0]).model_copy(update={"attacks": []})
    assert KINDS not in json.loads(record_text(record))
    assert read_natively(record_text(record).encode()) == record


@pytest.fixture
def rows() -> dict:
    return json.loads(record_text(read_record(EACH[0])))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data["attacks"][0].pop(), "fewer values than its kind leaves open"),
        (lambda data: data["attacks"][0].append(1), "more values than its kind leaves open"),
        (lambda data: data["attacks"].__setitem__(0, [99]), "unknown kind of attack '99'"),
        (lambda data: data["attacks"].__setitem__(0, [-1]), "unknown kind of attack '-1'"),
        (lambda data: data["attacks"].__setitem__(0, [True]), "unknown kind of attack 'True'"),
        (lambda data: data["attacks"].__setitem__(0, ["x" * 10_000]), "unknown kind of attack 'x"),
        (lambda data: data["attacks"].__setitem__(0, []), "no reidbench record"),
        (lambda data: data["attacks"].__setitem__(0, 7), "no reidbench record"),
        (lambda data: data[KINDS].__setitem__(0, 7), "a kind of attacks is the names of their fields"),
        (lambda data: data[KINDS][0].update(attacker=[]), "null or shared values"),
        (lambda data: data[KINDS][0].update(attacker=[1, 2]), "null or shared values"),
        (lambda data: data[KINDS][0].update(attacker="x"), "a kind of attacks is the names of their fields"),
        (lambda data: data[KINDS][0].update(task=[7]), "attacks.0"),
        (lambda data: data.update({KINDS: 7}), "no reidbench record"),
        (lambda data: data.update({KINDS: None}), "no reidbench record"),
        (lambda data: data.pop(KINDS), "no reidbench record"),
        (lambda data: data.update(attacks=None), "no reidbench record"),
        (lambda data: data.update(schema_version=1, impostors="exchanged", intervals="guarded"), "no reidbench record"),
    ],
)
def test_rows_that_do_not_fit_are_one_line(rows, tmp_path, change, what):
    change(rows)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(rows))
    assert read_natively(path.read_bytes()) is None
    assert read_natively_brief(path.read_bytes()) is None
    with pytest.raises(ReidbenchError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert what in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_small_file_cannot_stand_for_one_that_fills_the_memory(rows, tmp_path):
    rows[KINDS].append({"attacker": ["x" * 100_000]})
    rows["attacks"] += [[len(rows[KINDS]) - 1]] * 300_000
    path = tmp_path / "record.json"
    path.write_text(json.dumps(rows, separators=(",", ":")))
    assert read_natively(path.read_bytes()) is None
    with pytest.raises(ReidbenchError, match=f"more than {MOST_IN_FULL:,} characters in full"):
        read_record(path)


def test_attacks_in_full_beside_kinds_are_read_too(rows):
    full = in_full(rows, BOTH)
    mixed = {**rows, "attacks": [full["attacks"][0], *rows["attacks"][1:]]}
    assert json.dumps(in_full(mixed, BOTH)) == json.dumps(full)
    assert isinstance(read_natively(json.dumps(mixed).encode()), Record)
