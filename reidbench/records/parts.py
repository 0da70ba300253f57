"""What all parts of a record have in common: how they are validated, and a figure with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from reidbench.files import RULE, names_files

if TYPE_CHECKING:
    from reidbench import metrics


def _names_files(value: str) -> str:
    # Records come from others, and pages and scores are written and looked for under these names.
    if not names_files(value):
        raise PydanticCustomError("file_name", "files are named by it: {rule}", {"rule": RULE})
    return value


#: A text that names of files are made of: it leads to no other folder, and matches no other file.
FileName = Annotated[str, AfterValidator(_names_files)]


class Model(BaseModel):
    """A part of a record: immutable, no unknown fields, finite numbers or null."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, ser_json_inf_nan="null")

    @field_validator("*", mode="before")
    @classmethod
    def _undefined_is_null(cls, value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value


def unsaid(value: Any) -> bool:
    """Fields that came later are left out where there is nothing, so that an old record writes back as it was."""
    return value is None


class Interval(Model):
    """A figure with its interval; which interval, says the field's own description."""

    value: float | None
    low: float | None
    high: float | None
    why_unbounded: str | None = Field(
        None, exclude_if=unsaid, description="why a figure that is defined has no ends; absent where it has some"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        # As files have it: [value, low, high], and the reason behind them where there is one.
        if isinstance(data, list) and len(data) in (3, 4):
            return dict(zip(("value", "low", "high", "why_unbounded"), data))
        return data

    @classmethod
    def of(cls, found: metrics.Interval) -> Interval:
        """A computed figure, for the record."""
        return cls(value=found.value, low=found.low, high=found.high, why_unbounded=found.why_unbounded)
