"""What a class declares is read from its source, and nothing is imported."""

from __future__ import annotations

import sys

import pytest

from reidbench.plugins import Found, Registry
from reidbench.plugins.source import declared_text

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
