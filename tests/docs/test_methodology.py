"""The page on how results mislead: every test and every field of a record that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from reidbench.records.schema import Record

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methodology.md").read_text(encoding="utf-8")
PITFALLS = 27


def sections() -> dict[int, str]:
    found = re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)[1:]
    numbered = (re.match(r"(\d+)\. ", section) for section in found)
    return {int(number[1]): section for number, section in zip(numbered, found) if number}


def named(section: str, what: str) -> list[str]:
    """What stands in backticks in a section's item on tests or on the record."""
    (item,) = re.findall(rf"^- {what}: ((?:.+\n?)(?:  .+\n?)*)", section, flags=re.MULTILINE)
    assert not re.sub(r"`[^`]+`", "", item).strip(" ,\n"), "names alone"
    return re.findall(r"`([^`]+)`", item)


def test_all_are_there_with_a_test_and_a_field_each():
    assert sorted(sections()) == list(range(1, PITFALLS + 1))
    for section in sections().values():
        assert named(section, "Tests")
        assert named(section, "Record")


@pytest.mark.parametrize("number", range(1, PITFALLS + 1))
def test_the_tests_exist(number):
    for name in named(sections()[number], "Tests"):
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function.startswith("test_")
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


@pytest.mark.parametrize("number", range(1, PITFALLS + 1))
def test_the_fields_exist(number):
    for path in named(sections()[number], "Record"):
        assert reachable(Record, path), path


def reachable(model: type[BaseModel], path: str) -> bool:
    """Whether a path such as ``attacks[].metrics.auc`` leads through the schema; field names may hold a dot."""
    for name, field in model.model_fields.items():
        for known in {name, field.alias or name}:
            for listed in ("", "[]"):
                head = known + listed
                if path == head and (not listed or holds_a_list(field.annotation)):
                    return True
                if path.startswith(f"{head}.") and bool(listed) == holds_a_list(field.annotation):
                    rest = path.removeprefix(f"{head}.")
                    if any(reachable(part, rest) for part in parts(field.annotation)):
                        return True
    return False


def holds_a_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(holds_a_list, get_args(annotation)))


def parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in parts(inner)]


def test_paths_are_told_from_what_only_looks_like_one():
    for path in ("seed", "attacks[].metrics.tpr_at_fpr_0.01", "controls.problems[]", "defense.privacy.unit"):
        assert reachable(Record, path)
    for path in ("seeds", "attacks.knowledge", "attacks[].metrics.tpr", "seed[]", "defense.privacy.unit.name", "auc"):
        assert not reachable(Record, path)


def test_what_is_cited_is_listed_and_what_is_listed_is_cited():
    text, literature = PAGE.split("## Literature")
    prose, listed = " ".join(text.split()), " ".join(literature.split())
    entries = re.findall(r"- ([^\s,]+)[^“]*“[^”]+”(.+?)(?= - |$)", listed)
    assert len(entries) == literature.count("\n- ")
    for author, venue in entries:
        year = re.findall(r"\b(?:19|20)\d\d\b", venue)[-1]
        assert re.search(rf"\b{author}\b.{{0,120}}\b{year}\b", prose), f"{author} {year} is not cited"
    cited = [
        (author[1], year[0])
        for group in re.findall(r"\(([^()]*\b(?:19|20)\d\d)\)", prose)
        for one in group.split("; ")
        if (author := re.search(r"([A-ZÀ-Þ]\w+)(?=,| and | et al)", one))
        and (year := re.search(r"(?:19|20)\d\d$", one))
    ]
    assert len(cited) > 20
    for author, year in cited:
        assert re.search(rf"- {author}\b[^“]*“[^”]+”[^“]*\b{year}\b", listed), f"{author} {year} is not listed"


def test_every_pitfall_named_in_a_test_is_on_the_page():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, number in re.findall(
            r"^def (test_pitfall_(\d+)_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert f"{path.relative_to(ROOT)}::{name}" in named(sections()[int(number)], "Tests")
