"""Records and scores from others: whatever they contain, reading them ends with the record or with one line."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.records.form.attack_rows import in_full
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.records.store import MAX_BYTES, read_distinct, read_named, read_record
from reidbench.records.supplements.content import Supplement
from reidbench.report.figures.paired.matching import read_kept
from reidbench.report.text.board.files import write
from reidbench.report.text.leaderboard import render

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"


@pytest.fixture
def genuine(tmp_path):
    """A record of generated patients with scores and findings, in a folder of its own, its attacks in full."""
    (scores,) = (
        path
        for path in RECORDS.glob(f"identity-*{SUFFIX}")
        if read_record(path.with_name(path.name.removesuffix(SUFFIX) + ".json")).dataset.title == "phantom"
    )
    path = scores.with_name(scores.name.removesuffix(SUFFIX) + ".json")
    folder = tmp_path / "records"
    folder.mkdir()
    shutil.copy(scores, folder)
    data = in_full(json.loads(path.read_text("utf-8")), ("attacks", "undefended"))
    (folder / path.name).write_text(json.dumps(data), "utf-8")
    return folder / path.name


def edit(path: Path, change) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def setter(field: str, value):
    def change(data):
        *steps, last = [int(step) if step.isdigit() else step for step in field.split("/")]
        for step in steps:
            data = data[step]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bootstrap_runs", 10**9),
        ("bootstrap_runs", 0),
        ("dataset/size", 10**6),
        ("dataset/images", {"test": 5}),
        ("dataset/patients/test", -1),
        ("dataset/name", "n" * 300),
        ("dataset/notes", ["x"] * 2_000),
        ("defense/name", "n" * 300),
        ("defense/summary", "\x1b[2J\x1b]0;title\x07"),
        ("defense/options", {"text": "\x1b[2J"}),
        # Behind a backslash, which JSON doubles; and a control character that JSON has a letter for.
        ("defense/options", {"text": "\\\x1b[2J"}),
        ("defense/options", {"text": "safe\x08"}),
        ("defense/options", {"text": "x" * 50_000}),
        ("command", "x" * 200_000),
        ("seed", -1),
        ("seed", 10**80),
        ("timings", {"step": 1e308}),
        ("attacks/0/metrics/auc", [1e308, 0.5, 0.6]),
        ("attacks/0/metrics/genuine", 10**30),
        ("controls/pixels_auc", {"random": 7}),
        ("attacks", [{}] * 2_000),
    ],
)
def test_fields_out_of_bounds_are_named(genuine, field, value):
    with pytest.raises(ReidbenchError, match="no reidbench record: ") as error:
        read_record(edit(genuine, setter(field, value)))
    assert len(str(error.value)) < 1_000


def unbounded(node, path):
    """Paths below a JSON schema's node to numbers, texts and lists without a bound.

    The size of the file bounds how many keys an object has.
    """
    options = [option for name in ("anyOf", "oneOf", "allOf") for option in node.get(name, ())]
    for option in options:
        yield from unbounded(option, path)
    kind = None if {"enum", "const"} & node.keys() else node.get("type")
    if kind in ("integer", "number") and not (
        {"minimum", "exclusiveMinimum"} & node.keys() and {"maximum", "exclusiveMaximum"} & node.keys()
    ):
        yield path
    if kind == "string" and not {"maxLength", "pattern", "format"} & node.keys():
        yield path
    if kind == "array":
        if "maxItems" not in node:
            yield path
        yield from unbounded(node.get("items", {}), f"{path}[]")


@pytest.mark.parametrize("kind", [Record, Supplement])
def test_every_field_is_bounded(kind):
    schema = kind.model_json_schema()
    parts = {kind.__name__: schema, **schema["$defs"]}
    fields = [(f"{part}.{name}", node) for part, found in parts.items() for name, node in found["properties"].items()]
    assert len(fields) > 100
    assert [path for name, node in fields for path in unbounded(node, name)] == []
    assert list(unbounded({"anyOf": [{"type": "array", "items": {"type": "number", "minimum": 0}}]}, "x")) == [
        "x",
        "x[]",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"schema_version": 2, "command": "\\ud800"}',
        b'{"seed": ' + b"1" * 6_000 + b"}",
        b"{" + b" " * MAX_BYTES + b"}",
        b"\xff\xfe",
        b"",
        b"{}",
    ],
    ids=["deep", "surrogate", "digits", "large", "no text", "empty", "nothing"],
)
def test_files_that_are_no_records_are_refused(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ReidbenchError, match="record"):
        read_record(path)


def test_every_committed_record_lies_under_its_own_name():
    assert len(read_distinct(sorted(RECORDS.glob("*.json")))) == len(list(RECORDS.glob("*.json")))


def test_a_record_under_the_name_of_another_is_refused(genuine):
    forged = edit(genuine, setter("id", "0" * 16))
    with pytest.raises(ReidbenchError, match=f"this is the record identity-{'0' * 16}.json; give it this name"):
        read_named(forged)
    with pytest.raises(ReidbenchError, match="give it this name"):
        read_kept([forged.parent])


def test_two_different_records_of_one_id_are_refused(genuine, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(genuine, other)
    assert len(read_kept([genuine.parent, other])) == 1, "the same record twice is one"
    edit(other / genuine.name, setter("seed", 7))
    with pytest.raises(ReidbenchError, match="two different records have the id"):
        read_kept([genuine.parent, other])


def rewrite(path: Path, arrays) -> Path:
    """Replaces the scores of a record, and makes the record name them."""
    scores = path.with_name(path.stem + SUFFIX)
    if isinstance(arrays, bytes):
        scores.write_bytes(arrays)
    else:
        np.savez_compressed(scores, allow_pickle=False, **arrays)
    edit(path, setter("scores_sha256", content_digest(scores)))
    return scores


def arrays_of(path: Path) -> dict:
    with np.load(path.with_name(path.stem + SUFFIX)) as stored:
        return dict(stored)


@pytest.mark.parametrize("name", ["patients", "pairs random", "verification", "average_precision", "ranks", "findings"])
@pytest.mark.parametrize("damage", [lambda a: a[..., :-3], lambda a: a[0], lambda a: np.full(a.shape, "x")])
def test_scores_of_wrong_shapes_are_named(genuine, name, damage):
    arrays = arrays_of(genuine)
    key = next(key for key in arrays if key.startswith(name))
    arrays[key] = damage(arrays[key])
    scores = rewrite(genuine, arrays)
    with pytest.raises(ReidbenchError, match=r"do not fit together|cannot be read"):
        read_scores(scores, content_digest(scores))


def test_pairs_of_images_that_are_not_there_are_named(genuine):
    arrays = arrays_of(genuine)
    arrays["pairs random"][0, 0] = 10**6
    scores = rewrite(genuine, arrays)
    with pytest.raises(ReidbenchError, match="pairs random have a number outside"):
        read_scores(scores, content_digest(scores))


def test_an_archive_that_declares_too_much_is_refused_unread(genuine):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("patients.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (300 * 2**20,)})
        for _ in range(300):
            member.write(bytes(2**20))
    scores = rewrite(genuine, stream.getvalue())
    assert scores.stat().st_size < 2**20
    with pytest.raises(ReidbenchError, match="scores have at most"):
        read_scores(scores, content_digest(scores))


def test_an_array_that_is_larger_than_its_file_is_refused(genuine):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, archive.open("patients.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    scores = rewrite(genuine, stream.getvalue())
    with pytest.raises(ReidbenchError, match="not as large as its header says"):
        read_scores(scores, content_digest(scores))


def test_no_file_is_replaced_that_is_no_leaderboard(genuine, tmp_path):
    record = read_record(edit(genuine, setter("dataset/name", "README")))
    pages = render([record])
    readme = tmp_path / "README.md"
    readme.write_text("# My project\n")
    with pytest.raises(ReidbenchError, match=r"README\.md: a file that is not a leaderboard has this name"):
        write(pages, tmp_path)
    assert readme.read_text() == "# My project\n"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"README.md"}, "nothing else is written"
    readme.unlink()
    assert write(pages, tmp_path) == write(pages, tmp_path), "its own pages are replaced"


def test_keys_and_cells_from_records_are_escaped(genuine):
    def change(data):
        data["controls"]["metadata_only_auc"] = {"<b>random</b> [x](http://x)": 0.5}
        data["dataset"]["revision"] = '=HYPERLINK("http://x")'
        data["controls"]["problems"] = ["@SUM(A1)"]
        data["defense"]["privacy"] = {"epsilon": 1.0, "delta": 0.0, "unit": "+1"}

    pages = render([read_record(edit(genuine, change))])
    (markdown,) = (text for name, text in pages.items() if name.endswith(".md"))
    assert "<b>" not in markdown
    assert "[x](" not in markdown
    (table,) = (text for name, text in pages.items() if name.endswith(".csv"))
    assert "\"'=HYPERLINK" in table
    for cell in ("'@SUM(A1)", "'+1"):
        assert f",{cell}," in table
