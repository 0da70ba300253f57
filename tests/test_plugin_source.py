"""What a class declares is read from its source, and nothing is imported."""

from __future__ import annotations

import sys

import pytest

from reidbench.plugins import Found, Registry
from reidbench.plugins.options import option_defaults
from reidbench.plugins.source import declared_defaults, declared_text

SOURCE = """
raise SystemExit("imported")

class Plain:
    family = "noise"
class Typed:
    family: str = "blur"
class Computed:
    family = "a" + "b"
class Number:
    family = 3
class Silent:
    other = "noise"
    if True:
        family = "hidden"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    package = tmp_path / "outer_of_source" / "inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "thing.py").write_text(SOURCE)
    (package / "wrong.py").write_text("class Plain:\n  family = = 3")
    monkeypatch.syspath_prepend(tmp_path)
    return "outer_of_source.inner.thing"


@pytest.mark.parametrize(
    ("name", "family"),
    [("Plain", "noise"), ("Typed", "blur"), ("Computed", None), ("Number", None), ("Silent", None), ("Absent", None)],
)
def test_only_a_text_that_the_class_itself_states_is_read(module, name, family):
    assert declared_text(f"{module}:{name}", "family") == family
    assert not any(loaded.startswith("outer_of_source") for loaded in sys.modules)
    expected = family or "other"
    assert Registry().family(Found("defense", "x", f"{module}:{name}", "package", "1")) == expected


@pytest.mark.parametrize(
    "where", ["no.such:Thing", "outer_of_source.inner.wrong:Plain", "outer_of_source.inner.thing", ":"]
)
def test_what_cannot_be_read_declares_nothing(module, where):
    assert declared_text(where, "family") is None


OPTIONS = """
raise SystemExit("imported")
from typing import ClassVar
from pydantic import BaseModel
from reidbench import Defense, Field
import pydantic

LEVELS = (1, 2)

class Root(Defense):
    first: int = 1
    second: float = Field(-2e-3, ge=-1)
class Options(Root):
    name = "options"
    kinds: ClassVar[tuple] = compute()
    _private: int = compute()
    third: tuple[int, ...] = LEVELS
    first: str = pydantic.Field(default="1", description=compute())
    required: int
    also: int = Field(..., ge=0)
    second: float
    def method(self): ...
class Plain(BaseModel):
    option: int | None = None
class Computed(Root):
    third: int = 1 + 2
class Factory(Root):
    third: list = Field(default_factory=list)
class Made(Root):
    third: list = Field(default_factory=lambda: [1])
class Foreign(Elsewhere):
    first: int = 1
class Conditional(Root):
    if compute():
        third: int = 1
class Decorated(Root):
    third: int = 1
Decorated = decorate(Decorated)
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    (tmp_path / "options_of_source.py").write_text(OPTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    return "options_of_source"


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("Options", {"first": "1", "third": [1, 2]}),
        ("Plain", {"option": None}),
        ("Computed", None),
        ("Factory", {"first": 1, "second": -2e-3, "third": []}),
        ("Made", None),
        ("Foreign", None),
        ("Conditional", None),
        ("Decorated", None),
        ("Absent", None),
    ],
)
def test_defaults_are_read_from_a_class_and_its_bases_or_not_at_all(options, name, defaults):
    assert declared_defaults(f"{options}:{name}") == defaults
    assert options not in sys.modules


def test_the_defaults_of_built_in_defenses_are_read_as_their_classes_have_them():
    registry = Registry()
    rows = registry.found("defense")
    declared = {row.name: declared_defaults(row.where) for row in rows}
    for name, found in declared.items():
        expected = option_defaults(registry.get("defense", name))
        # In the order of titles; the types too, which an equality of numbers hides.
        assert repr(found) == repr(expected)
        assert registry.option_defaults("defense", name) == expected
