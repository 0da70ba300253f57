"""What all parts of a record have in common: how they are validated, and a figure with its interval."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError, to_json

from reidbench.files import RULE, names_files

if TYPE_CHECKING:
    from reidbench import metrics


def _names_files(value: str) -> str:
    # Records come from others, and pages and scores are written and looked for under these names.
    if not names_files(value):
        raise PydanticCustomError("file_name", "files are named by it: {rule}", {"rule": RULE})
    return value


def _is_small(value: dict[str, Any]) -> dict[str, Any]:
    if _clearly_small(value):
        return value
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("options", "options have a JSON form") from error
    if len(text) > MAX_OPTIONS:
        raise PydanticCustomError("options", "options have at most {most} characters", {"most": MAX_OPTIONS})
    if _CONTROL.search(text):
        raise PydanticCustomError("options", "options have no control characters")
    return value


def _clearly_small(value: dict[str, Any]) -> bool:
    """Whether a look at the bytes shows what the text would: that of 2,000 records takes longer than their tables."""
    try:
        content = to_json(value, fallback=str)
    except ValueError:
        return False
    # A byte is written with at most six characters. Without an escape there is no control character, but for the last.
    return 6 * len(content) <= MAX_OPTIONS and not any(mark in content for mark in (b"\\", b"\x7f", b"\xc2"))


# As JSON writes them, but for tab and line breaks: a terminal would obey them. A backslash is written as two.
_CONTROL = re.compile(r"(?<!\\)(?:\\\\)*\\(?:u00(?:[01][0-9a-f]|7f|[89][0-9a-f])|b|f)")
_PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"


def undefined_is_null(data: Any) -> Any:
    """A part's data with null in place of numbers that are not finite."""
    if isinstance(data, dict):
        for value in data.values():
            if isinstance(value, float) and not math.isfinite(value):
                return {
                    name: None if isinstance(value, float) and not math.isfinite(value) else value
                    for name, value in data.items()
                }
    return data


# Records come from others too. Far above what a run writes, these bounds keep pages small and arithmetic finite.
MAX_OPTIONS = 20_000
#: A text that names of files are made of: it leads to no other folder, and matches no other file. With an id and an
#: ending behind it, it is no longer than file systems allow.
FileName = Annotated[str, StringConstraints(max_length=80), AfterValidator(_names_files)]
#: A word or some lines, without control characters.
Text = Annotated[str, StringConstraints(max_length=4_000, pattern=_PRINTABLE)]
#: A command line, which may name many defenses.
LongText = Annotated[str, StringConstraints(max_length=100_000, pattern=_PRINTABLE)]
#: How many there are.
Count = Annotated[int, Field(ge=0, le=10**12)]
#: A share or a rate.
Rate = Annotated[float, Field(ge=0, le=1)]
#: The difference of two rates.
Difference = Annotated[float, Field(ge=-1, le=1)]
#: A rate, the difference of two, or an end of its interval, which over few seeds lies far out.
Figure = Annotated[float, Field(ge=-100, le=100)]
#: The significant digits of a figure with an interval. Another processor changes the third or fourth, a check forgives
#: the seventh, and in full the figures of hundreds of records are a sixth of what a repository carries.
DIGITS = 8
#: A duration.
Seconds = Annotated[float, Field(ge=0, le=1e12)]
#: Any number of which sums and differences stay finite.
Number = Annotated[float, Field(ge=-1e40, le=1e40)]
#: Such numbers by name; an undefined one is null.
Numbers = Annotated[dict[str, Number | None], BeforeValidator(undefined_is_null)]
#: Rates by name; an undefined one is null.
Rates = Annotated[dict[str, Rate | None], BeforeValidator(undefined_is_null)]
#: Options of any type by name.
Options = Annotated[dict[str, Any], AfterValidator(_is_small)]


class Model(BaseModel):
    """A part of a record: immutable, no unknown fields, finite numbers or null."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, ser_json_inf_nan="null")

    # One call for a part, not one for each field: a record has thousands of fields.
    @model_validator(mode="before")
    @classmethod
    def _prepared(cls, data: Any) -> Any:
        """The part's data with null in place of undefined numbers."""
        return undefined_is_null(data)


def unsaid(value: Any) -> bool:
    """Fields that came later are left out where there is nothing, so that an old record writes back as it was."""
    return value is None


class Interval(Model):
    """A figure with its interval; which interval, says the field's own description."""

    value: Figure | None
    low: Figure | None
    high: Figure | None
    why_unbounded: Text | None = Field(
        None, exclude_if=unsaid, description="why a figure that is defined has no ends; absent where it has some"
    )

    @model_validator(mode="before")
    @classmethod
    def _prepared(cls, data: Any) -> Any:
        """From the list that files have: ``[value, low, high]``, and the reason behind them where there is one."""
        if isinstance(data, list) and len(data) in (3, 4):
            data = dict(zip(("value", "low", "high", "why_unbounded"), data))
        elif isinstance(data, Interval) and not isinstance(data, cls):
            data = data.model_dump()
        return undefined_is_null(data)

    @classmethod
    def of(cls, found: metrics.Interval) -> Self:
        """A computed figure, for the record, with :data:`DIGITS` significant digits, in memory as in a file."""
        value, low, high = (_rounded(one) for one in (found.value, found.low, found.high))
        return cls(value=value, low=low, high=high, why_unbounded=found.why_unbounded)


class RateInterval(Interval):
    """A rate, a share or an area under a curve with its interval: all in [0, 1], or null."""

    value: Rate | None
    low: Rate | None
    high: Rate | None


class DifferenceInterval(Interval):
    """The difference of two rates with its interval: in [-1, 1], or null; of few patients an end may lie beyond."""

    value: Difference | None


def _rounded(value: float) -> float:
    # One that is not finite stays as it is.
    return float(f"{value:.{DIGITS}g}")
