"""``name:option=value`` as people type it."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from reidbench import PluginError, ReidbenchError
from reidbench.plugins.options import Spec, build, parse_spec


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str] = "thing"
    sigma: float = Field(0.1, ge=0, le=1)
    cell: int = Field(8, ge=1)
    boxes: list[list[float]] = Field(default_factory=list)
    on: bool = False
    limit: int | None = 3
    kind: Literal["none", "some"] = "some"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("thing", Spec("thing", {})),
        ("thing:", Spec("thing", {})),
        (" thing : sigma = 0.2 , cell=4", Spec("thing", {"sigma": "0.2", "cell": "4"})),
        ("thing:mild", Spec("thing", {}, "mild")),
        ("thing:mild,sigma=0.5", Spec("thing", {"sigma": "0.5"}, "mild")),
        ('thing:{"boxes": [[0, 0, 1, 1]]}', Spec("thing", {"boxes": [[0, 0, 1, 1]]})),
    ],
)
def test_what_people_type_is_read(text, spec):
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", ["", ":sigma=1", "thing:{nonsense", "thing:a=1,b", "thing:a=1,a=2"])
def test_what_cannot_be_read_is_refused_in_one_line(text):
    with pytest.raises(ReidbenchError) as caught:
        parse_spec(text)
    assert "\n" not in str(caught.value)


def test_none_stands_for_nothing_only_where_nothing_is_meant():
    assert build("thing", Thing, {"kind": "none", "limit": "none"}).model_dump(include={"kind", "limit"}) == {
        "kind": "none",
        "limit": None,
    }


def test_text_becomes_typed_values():
    options = {"sigma": "0.5", "cell": "3", "boxes": "[[0, 0, 0.5, 1]]", "on": "true", "limit": "none"}
    made = build("defense", Thing, options)
    assert made == Thing(sigma=0.5, cell=3, boxes=[[0, 0, 0.5, 1]], on=True, limit=None)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"sgma": "1"}, "has no option 'sgma': did you mean 'sigma'"),
        ({"SIGMA": "1"}, "has no option 'SIGMA': did you mean 'sigma'"),
        ({"sigma": "-1"}, "option 'sigma': input should be greater than or equal to 0, not '-1'"),
        ({"sigma": "much"}, "option 'sigma'"),
        ({"cell": "2.5"}, "option 'cell'"),
        ({"boxes": "[[0"}, "option 'boxes' is not valid JSON"),
    ],
)
def test_a_wrong_option_is_named_with_its_reason(options, what):
    with pytest.raises(ReidbenchError) as caught:
        build("defense", Thing, options)
    assert what in str(caught.value)


def test_a_class_that_fails_by_itself_is_the_plugins_fault():
    class Fails(Thing):
        name: ClassVar[str] = "fails"

        def model_post_init(self, context):
            raise KeyError("oops")

    with pytest.raises(PluginError, match=r"^fails: "):
        build("defense", Fails, {})


def test_an_option_without_an_order_is_refused():
    class Findings(Thing):
        name: ClassVar[str] = "findings"
        kept: frozenset[str] = frozenset({"Effusion"})

    with pytest.raises(PluginError, match=r"^findings: option 'kept' is a set"):
        build("defense", Findings, {})


def test_a_text_may_begin_with_a_brace():
    class Paths(BaseModel):
        name: ClassVar[str] = "paths"
        image: str = "path"
        labels: str | None = None
        boxes: list[float] | None = None

    made = build("paths", Paths, {"image": "{id}.png", "labels": "[a]", "boxes": "[1, 2]"})
    assert (made.image, made.labels, made.boxes) == ("{id}.png", "[a]", [1.0, 2.0])
