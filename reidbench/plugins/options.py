"""Parses ``name:option=value`` and makes the typed object from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from reidbench.errors import PluginError, ReidbenchError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

_LARGEST = 1e100


@dataclass(frozen=True)
class Spec:
    """The name of a plugin with the options given for it: ``gaussian_noise:sigma=0.2``.

    Attributes:
        name: of the plugin.
        options: values by option; text where it was typed, any JSON value where it came as JSON.
        point: a named operating point (``gaussian_noise:mild``), whose options come below the given ones.
    """

    name: str
    options: Mapping[str, Any]
    point: str | None = None


def parse_spec(text: str) -> Spec:
    """Reads ``name``, ``name:option=value,…``, ``name:point``, ``name:point,option=value`` or ``name:{json}``.

    Raises:
        ReidbenchError: the text has none of these forms.
    """
    name, _, rest = text.partition(":")
    name, rest = name.strip(), rest.strip()
    if not name:
        raise ReidbenchError(f"{text!r}: a name is needed before the colon, as in gaussian_noise:sigma=0.2")
    if rest.startswith("{"):
        try:
            return Spec(name, json.loads(rest))
        except (ValueError, RecursionError) as error:
            raise ReidbenchError(f"{text!r}: the text after the colon is not valid JSON: {error}") from error
    options: dict[str, Any] = {}
    point = None
    for number, item in enumerate(part for part in rest.split(",") if part.strip()):
        key, equals, value = item.partition("=")
        if not equals:
            if number:
                raise ReidbenchError(f"{text!r}: {item.strip()!r} does not have the form option=value")
            point = key.strip()
            continue
        if key.strip() in options:
            raise ReidbenchError(f"{text!r}: option {key.strip()!r} is given twice")
        options[key.strip()] = value.strip()
    return Spec(name, options, point)


def build(kind: str, cls: type[Model], options: Mapping[str, Any]) -> Model:
    """The typed object from its options.

    Raises:
        ReidbenchError: an option is unknown (the nearest is named), of the wrong type, or out of its bounds.
        PluginError: the class itself fails, or an option is a set.
    """
    name = getattr(cls, "name", cls.__name__)
    for option in options:
        if option not in cls.model_fields:
            hint = did_you_mean(option, cls.model_fields) if cls.model_fields else "it has no options"
            raise ReidbenchError(f"{kind} {name!r} has no option {option!r}: {hint}")
    try:
        made = cls.model_validate(_read(cls, options))
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            # Of the options together.
            raise ReidbenchError(f"{kind} {name!r}: {message}") from error
        where = ".".join(str(part) for part in first["loc"])
        told = first["type"] == "missing" or repr(first["input"]) in message
        given = "" if told else f", not {first['input']!r}"
        message = message[:1].lower() + message[1:]
        raise ReidbenchError(f"{kind} {name!r}, option {where!r}: {message}{given}") from error
    except Exception as error:
        raise PluginError(f"{name}: cannot be made from its options: {type(error).__name__}: {error}") from error
    for option, value in ((option, getattr(made, option)) for option in options):
        # Records and cache keys are JSON, which has no infinity; sums of what is larger still are none either.
        if isinstance(value, float) and not abs(value) <= _LARGEST:
            raise ReidbenchError(f"{kind} {name!r}, option {option!r}: must be at most {_LARGEST:g}, not {value!r}")
    for option in cls.model_fields:
        # Written down, a set has another order in each process; what is drawn and cached hangs on what is written.
        if isinstance(getattr(made, option), set | frozenset):
            raise PluginError(f"{name}: option {option!r} is a set, which has no order; make it a tuple or a list")
    return made


def option_defaults(cls: type[BaseModel]) -> dict[str, Any]:
    """Default values by option, as JSON types; options that are required have none and are left out."""
    fields = {name: field for name, field in cls.model_fields.items() if not field.is_required()}
    defaults = {name: field.get_default(call_default_factory=True, validated_data={}) for name, field in fields.items()}
    made: dict[str, Any] = to_jsonable_python(defaults, fallback=str)
    return made


def _is_text(cls: type[BaseModel], option: str) -> bool:
    """Whether an option takes text alone, which may begin with a brace, as a path with columns in it."""
    field = cls.model_fields.get(option)
    kinds = set(get_args(field.annotation)) or {field.annotation} if field else set()
    return str in kinds and kinds <= {str, NoneType}


def _read(cls: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    # Typed text for a list or a table is JSON; for a scalar pydantic reads the text itself ("0.2" -> 0.2).
    values: dict[str, Any] = {}
    for option, value in options.items():
        if isinstance(value, str) and value[:1] in "[{" and value and not _is_text(cls, option):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ReidbenchError(f"option {option!r} is not valid JSON: {error}") from error
        values[option] = None if value == "none" and _takes_nothing(cls, option) else value
    return values


def _takes_nothing(cls: type[BaseModel], option: str) -> bool:
    """Whether ``none`` stands for None: the option may be None, and has no choice that is called ``none``."""
    kinds = _kinds(cls.model_fields[option].annotation)
    return not cls.model_fields[option].is_required() and type(None) in kinds and "none" not in kinds


def _kinds(annotation: Any) -> set[Any]:
    """The types of a union, and the values of its literals."""
    parts = get_args(annotation)
    if not parts:
        return {annotation}
    if get_origin(annotation) is Literal:
        return set(parts)
    if get_origin(annotation) in (Union, UnionType):
        return {kind for part in parts for kind in _kinds(part)}
    return {get_origin(annotation)}
