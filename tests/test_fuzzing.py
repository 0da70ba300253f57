"""Bad input of every kind that is read: it is taken, or refused in one line; nothing else is ever raised.

REIDBENCH_FUZZ multiplies the number of inputs: ``REIDBENCH_FUZZ=15 python -m pytest tests/test_fuzzing.py``.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import Maker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from supplements import supply

from reidbench.bundles.bundle import find_bundle, read_card
from reidbench.cohorts.pairing.listed import read_pair_list
from reidbench.cohorts.pixels.decode import decode
from reidbench.cohorts.sources.tables.csv_table import read_table
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.plugins import Registry
from reidbench.plugins.options import build, parse_spec
from reidbench.records.brief import make_brief
from reidbench.records.native_reading import read_natively, read_natively_brief
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.records.store import judge_content, read_named, read_record, record_text
from reidbench.records.supplements.files import read_beside, read_supplement, supplement_text
from reidbench.report.text.leaderboard import render
from reidbench.studies.sweep_plan import read_plan

RECORDS = Path(__file__).parents[1] / "leaderboards" / "records"
EXAMPLES = int(os.environ.get("REIDBENCH_FUZZ", "1"))


def tried(count: int):
    """A fixed set of inputs, so that a failure in CI can be had again."""
    return settings(
        max_examples=count * EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where each input is written."""
    return tmp_path_factory.mktemp("fuzzing")


@pytest.fixture(scope="module")
def samples(folder):
    """By kind of file, the bytes of a good one."""
    grey = Image.fromarray(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48))
    made = {}
    for ending in ("png", "jpg", "tif", "webp"):
        grey.save(folder / f"good.{ending}")
        made[ending] = (folder / f"good.{ending}").read_bytes()
    scores = sorted(RECORDS.glob(f"gaussian_noise-*{SUFFIX}"))[0]
    made["scores"] = scores.read_bytes()
    made["record"] = scores.with_name(scores.name.removesuffix(SUFFIX) + ".json").read_bytes()
    make = Maker(folder)
    record = make("supplemented", 0.5)
    supplement = supply(make, record, 1.5, 4.0)
    made["supplement"], made["of"], made["named"] = supplement.read_bytes(), record, supplement
    made["card"] = sorted(Path(find_bundle("phantom")).glob("*.json"))[0].read_bytes()
    made["pairs"] = b"i0\ti1\t1\ni0\ti2\t0\n"
    made["table"] = b'path,patient_id,sex\na.png,p1,F\n"b,c.png",p2,M\n'
    made["plan"] = (
        b'defenses = ["identity"]\nseeds = [0, 1]\n[[defense]]\nname = "jpeg"\noptions = { quality = [10] }\n'
    )
    return made


# Where it is changed, in what way, and the bytes for it; places are shares of the length.
changes = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["set", "cut", "insert", "zero", "repeat"]), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, plan) -> bytes:
    for share, how, given_bytes in plan:
        place = int(share * len(content))
        head, tail = content[:place], content[place:]
        if how == "set":
            content = head + given_bytes + tail[len(given_bytes) :]
        elif how == "cut":
            content = head
        elif how == "insert":
            content = head + given_bytes * 3 + tail
        elif how == "zero":
            content = head + bytes(len(tail))
        else:
            content = head + tail[:64] + tail
    return content


def the_one_record(path: Path):
    """The record that both ways of reading find; the short one may find none."""
    content = path.read_bytes()
    short = read_natively(content)
    record = judge_content(path, content)
    assert short in (None, record)
    brief = read_natively_brief(content)
    assert brief is None or (short is not None and brief == make_brief(short)), "no part is left out unread"
    assert read_natively(record_text(record).encode()) == record, "what is written takes the short way"
    return record


def read_one(kind: str, path: Path) -> None:
    """Reads a file as the program does."""
    if kind == "record":
        render([the_one_record(path)])
    elif kind == "scores":
        read_scores(path, content_digest(path))
    elif kind == "supplement":
        read_supplement(path)
    elif kind == "card":
        shutil.copy(path, path.with_name("card.json"))
        read_card(path.parent)
    elif kind == "pairs":
        read_pair_list(path, pd.DataFrame({"image_id": ["i0", "i1", "i2"], "patient": [0, 0, 1]}))
    elif kind == "table":
        read_table(path, ["path", "patient_id", "sex"], where="test")
    elif kind == "plan":
        read_plan(path, {})
    else:
        decode(path, "image", 32)


KINDS = ["record", "supplement", "scores", "card", "pairs", "table", "plan", "png", "jpg", "tif", "webp"]


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_of_every_kind_of_file(samples, folder, kind):
    @tried(6)
    @given(changes)
    def check(plan):
        path = folder / f"changed.{kind}"
        path.write_bytes(mutated(samples[kind], plan))
        try:
            read_one(kind, path)
        except ReidbenchError:
            assert kind != "record" or read_natively(path.read_bytes()) is None
            assert kind != "record" or read_natively_brief(path.read_bytes()) is None

    check()


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([1e308, -1e308, "\x1b[2J", "../x", "=1+1", "x" * 300, [], {}, [[[]]], {"a": {"b": {}}}]),
)


def keys_of(part) -> list:
    return list(part) if isinstance(part, dict) else list(range(len(part)))


def meddle(data, content) -> None:
    """Puts an odd value somewhere into a file's JSON."""
    part = content
    for _ in range(data.draw(st.integers(0, 4))):
        below = [key for key in keys_of(part) if isinstance(part[key], dict | list) and part[key]]
        if not below:
            break
        part = part[data.draw(st.sampled_from(below))]
    if part:
        key = data.draw(st.sampled_from(keys_of(part)))
        part[key] = data.draw(odd)


def test_odd_values_in_every_field_of_a_record(samples, folder):
    @tried(12)
    @given(st.data())
    def check(data):
        content = json.loads(samples["record"])
        for _ in range(data.draw(st.integers(1, 3))):
            meddle(data, content)
        path = folder / "odd.json"
        path.write_text(json.dumps(content))
        try:
            record = the_one_record(path)
        except ReidbenchError:
            assert read_natively(path.read_bytes()) is None, "what is refused is refused on both ways"
            return
        render([record])
        path.write_text(record_text(record))
        assert read_record(path) == record, "what is read is written back"

    check()


def test_odd_values_in_every_field_of_a_supplement(samples):
    path, record = samples["named"], samples["of"]

    @tried(12)
    @given(st.data())
    def check(data):
        content = json.loads(samples["supplement"])
        for _ in range(data.draw(st.integers(1, 3))):
            meddle(data, content)
        path.write_text(json.dumps(content))
        # Beside its record it counts, or is named.
        found = read_beside([(read_named(record), record)])
        render(found.records)
        try:
            made = read_supplement(path)
        except ReidbenchError:
            assert len(found.refused) == 1
            assert not found.records[0].supplied
            return
        assert bool(found.refused) != bool(found.records[0].supplied)
        path.write_text(supplement_text(made))
        assert read_supplement(path) == made, "what is read is written back"

    try:
        check()
    finally:
        path.write_bytes(samples["supplement"])


@pytest.mark.parametrize("name", ["gaussian_noise", "jpeg", "dp_pix", "black_box", "kornia_augment"])
def test_odd_options(name):
    cls = Registry().get("defense", name)

    @tried(4)
    @given(st.dictionaries(st.sampled_from([*cls.model_fields, "other"]), odd, max_size=3), st.text(max_size=30))
    def check(options, text):
        for given_text in (f"{name}:{json.dumps(options)}", f"{name}:{text}", text):
            try:
                made = build("defense", cls, parse_spec(given_text).options)
            except ReidbenchError:
                continue
            dumped = made.model_dump(mode="json")
            assert not [value for value in dumped.values() if isinstance(value, float) and not math.isfinite(value)]
            json.dumps(dumped, allow_nan=False)

    check()


@pytest.mark.parametrize(
    "text",
    [
        "defenses = [1979-05-27]",
        "seeds = [-1]\ndefenses = ['identity']",
        f"seeds = [{'1' * 6000}]\ndefenses = ['identity']",
        "[[defense]]\nname = 'jpeg'\noptions = { quality = [1979-05-27T07:32:00Z] }",
        "defenses = " + "[" * 5_000,
    ],
    ids=["date", "negative", "digits", "date in options", "deep"],
)
def test_sweeps_with_odd_values(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ReidbenchError, match=r"plan\.toml"):
        read_plan(path, {})


@pytest.mark.parametrize("text", ['jpeg:{"quality": ' + "[" * 100_000, "jpeg:quality=" + "[" * 100_000])
def test_deeply_nested_options(text):
    with pytest.raises(ReidbenchError, match="not valid JSON"):
        build("defense", Registry().get("defense", "jpeg"), parse_spec(text).options)


@pytest.mark.parametrize("value", ["1e300", "inf", "nan"])
def test_numbers_that_no_record_can_hold(value):
    with pytest.raises(ReidbenchError, match="lr"):
        build("attacker", Registry().get("attacker", "verification"), {"lr": value})
