"""Every field of a committed record is computed again or named as trusted, and no edit of one passes unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reidbench import ReidbenchError
from reidbench.records import recompute as recomputing
from reidbench.records.recompute import recompute
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import read_record
from reidbench.report.figures.submission import (
    trusted,
)

COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"


def leaves(part: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Steps to every field of a record's JSON that has none below it."""
    below = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    if not below or not part:
        yield steps
    for step, inner in below:
        yield from leaves(inner, (*steps, step))


def spelt(steps: tuple[str | int, ...], number: str | None = None) -> str:
    """The path as the check writes it; with ``number`` in place of every number."""
    return "".join(f".{s}" if isinstance(s, str) else f"[{s if number is None else number}]" for s in steps)[1:]


def covered(path: str, names: tuple[str, ...]) -> bool:
    """Whether a field is one of these, or below one."""
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in names)


@pytest.fixture(scope="module", params=["images", "model"])
def submitted(request):
    """A committed record of each track: its JSON, its scores, and what comes of them.

    The figures of an attack are computed once for the same resamplings, however often they are asked for.
    """
    paths = sorted(COMMITTED / path.name.replace(SUFFIX, ".json") for path in COMMITTED.glob(f"*{SUFFIX}"))
    path = next(path for path in paths if read_record(path).track == request.param)
    record = read_record(path)
    scores = read_scores(path.with_name(f"{record.stem}{SUFFIX}"), str(record.scores_sha256))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_figures", "_judged"):
            patch.setattr(recomputing, name, remembered(getattr(recomputing, name)))
        # With names in place of lists, as paths have them.
        yield json.loads(record.model_dump_json(by_alias=True)), scores, recompute(record, scores)


def remembered(compute):
    known: dict[Any, Any] = {}

    def compute_once(one, record, scores):
        names = one.model_dump(include={*recomputing.ATTACK_NAMES, *recomputing.CLASSIFIER_NAMES})
        key = (*names.values(), record.bootstrap_runs, record.definitions)
        if key not in known:
            known[key] = compute(one, record, scores)
        found = known[key]
        # A classifier comes back with what is on trust of it, which is the record's own.
        kept = {field: getattr(found, field) for field in ("macro_auc", "fall", "per_label") if hasattr(found, field)}
        return one.model_copy(update=kept) if kept else found

    return compute_once


def test_every_field_is_computed_again_or_named(submitted):
    whole, _, found = submitted
    assert not found.mismatches
    told, loose = [], []
    for steps in leaves(whole):
        told.append(covered(spelt(steps), found.told))
        loose.append(covered(spelt(steps, ""), found.on_trust))
        assert told[-1] != loose[-1], spelt(steps)
    assert any(told)
    assert any(loose)
    # The highest paths: where nothing is told, parts are not named one by one.
    assert len(found.on_trust) < 65
    assert {"defense", "membership", "hyperparameters", "dataset.revision", "git", "attacks[].training"} <= set(
        found.on_trust
    )


CHANGED = {
    "schema_version": 2,
    "bootstrap_runs": 3,
    "track": "model",
    "task": "retrieval",
    "knowledge": "inverting",
    "linkage": "released-released",
    "negatives": "listed",
    "trained_on": "release",
    "tested_on": "originals",
    "attack": "lira",
    "created": "2020-01-01T00:00:00Z",
}


def other(name: str | int, value: Any) -> Any:
    """Another value that the schema takes for this one, as far as there is one."""
    if name in CHANGED and value != CHANGED[name]:
        return CHANGED[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return ["more"] if value == [] else {"more": 1} if value == {} else 0.5


def edited(whole: Any, steps: tuple[str | int, ...]) -> Any:
    data = json.loads(json.dumps(whole))
    place = data
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = other(steps[-1], place[steps[-1]])
    return data


def passes(record: Path, scores: RunScores, digest: str) -> bool:
    """Whether a record is read, names its scores, and agrees with them."""
    try:
        read = read_record(record)
    except ReidbenchError:
        return False
    return read.scores_sha256 == digest and not recompute(read, scores).mismatches


def test_an_edit_of_any_field_is_refused_or_the_field_is_named(submitted, tmp_path):
    whole, scores, found = submitted
    on_trust = found.on_trust
    # One of each kind: the same field of another attack is told in the same way. And one of all below a path on trust.
    kinds: dict[str, tuple[str | int, ...]] = {}
    for steps in leaves(whole):
        kind = spelt(steps, "")
        kinds.setdefault(next((name for name in on_trust if covered(kind, (name,))), kind), steps)
    assert {spelt(steps[:1]) for steps in kinds.values()} == set(whole)
    passed = []
    for kind, steps in kinds.items():
        (tmp_path / "edited.json").write_text(json.dumps(edited(whole, steps)))
        if passes(tmp_path / "edited.json", scores, whole["scores_sha256"]):
            passed.append(kind)
    # What is named is taken on trust indeed, and nothing else.
    assert set(passed) <= set(on_trust)
    assert {"defense", "seed", "git", "dataset.revision", "controls.problems", "baseline_id"} <= set(passed)


def test_withheld_findings_put_the_utility_on_trust(submitted):
    record = Record.model_validate(submitted[0])
    assert trusted(record, ["utility"]) == ("utility", "SSIM and PSNR")
    assert trusted(record, ["utility.classifiers"]) == ("utility",)
    fields = ["utility.fidelity", "id", "singling_out"]
    assert len(trusted(record, fields)) == 2
    assert trusted(record.model_copy(update={"singling_out": None}), fields) == ("SSIM and PSNR",)
