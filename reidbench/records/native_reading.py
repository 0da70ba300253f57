"""Reads the newest form of records in less time: their JSON is validated without Python code for each of its parts.

The schema of records accepts more than what files contain: numbers that are not finite, figures as objects, trainings
in place. For that it runs Python code for each of the hundreds of parts of a record, which takes longer than everything
else. Here a second validator is derived from the same schema, with the same fields and the same bounds. It accepts only
the form in which records are written today. Whatever it refuses is read again in the usual way, which decides and names
what is wrong: the two never disagree, one only says less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema, from_json, to_json

from reidbench.cohorts.unsaid import with_unsaid
from reidbench.errors import ReidbenchError
from reidbench.records.brief import LEFT_OUT, make_brief
from reidbench.records.form.attack_rows import KINDS, in_full
from reidbench.records.form.file_form import ATTACKS
from reidbench.records.parts.common import Interval
from reidbench.records.parts.provenance import DatasetInfo, DefenseInfo
from reidbench.records.schema import SCHEMA_VERSION, Attack, Classifier, Decision, Record
from reidbench.records.upgrade import published_epochs

#: A model's content, as pydantic-core hands it on: values by field, extra values, and which fields were given.
_Content = tuple[dict[str, Any], None, set[str]]
_TRAININGS = ("training", "restoration")
# Shared by all figures, which are frozen: a set for each would take as much memory as the figure.
_DECISION_FIELDS = set(Decision.model_fields)
_INTERVAL_FIELDS = {"value", "low", "high"}
_REASONED_FIELDS = {*_INTERVAL_FIELDS, "why_unbounded"}


def read_natively(content: bytes) -> Record | None:
    """The record in a file's content; None where it is not of the newest form, or not a record at all."""
    return _read(content, brief=False)


def read_natively_brief(content: bytes) -> Record | None:
    """The same without what :func:`~reidbench.records.brief.make_brief` leaves out, which is validated all the same."""
    record = _read(content, brief=True)
    return None if record is None else make_brief(record)


def _read(content: bytes, *, brief: bool) -> Record | None:
    try:
        record: Record = _validator(brief).validate_json(_in_full(content), strict=True)
    except (ValidationError, ReidbenchError, TypeError, ValueError, AttributeError):
        return None
    return record


def _in_full(content: bytes) -> bytes:
    """A file's content with attacks as objects, as the schema has them."""
    if f'"{KINDS}"'.encode() not in content:
        return content
    return to_json(in_full(from_json(content), ATTACKS))


@cache
def _validator(brief: bool) -> SchemaValidator:
    schema: Any = Record.__pydantic_core_schema__
    definitions = {one["ref"]: one for one in schema.get("definitions", [])}
    way = _Native(definitions, LEFT_OUT if brief else {})
    # Else pydantic would take the parts' own validators, which their classes keep, in place of those derived here.
    return SchemaValidator(way.derived(schema.get("schema", schema)), _use_prebuilt=False)


class _Native:
    """The derivation of one schema from the other.

    Args:
        definitions: of the schema.
        left_out: by part, fields that are validated and left as plain values: something else takes their place.
    """

    #: Functions that accept what no file of today has.
    lenient: frozenset[str] = frozenset({"_prepared", "undefined_is_null"})

    def __init__(self, definitions: Mapping[str, Any], left_out: Mapping[type, Iterable[str]]) -> None:
        self._definitions = definitions
        self._left_out = left_out
        self._plain = _Plain(definitions, {}) if left_out else self

    def derived(self, part: Any) -> Any:
        """A part of the schema as it accepts files of today."""
        if isinstance(part, list):
            return [self.derived(one) for one in part]
        if not isinstance(part, dict):
            return part
        kind = part.get("type")
        if kind == "definition-ref":
            return self.derived(self._definitions[part["schema_ref"]])
        if kind == "function-before" and part["function"]["function"].__name__ in self.lenient:
            return self.derived(part["schema"])
        made = {name: self.derived(value) for name, value in part.items() if name not in ("ref", "metadata")}
        if kind == "model":
            own = part["schema"]
            while "fields" not in own:  # There are functions around it.
                own = own["schema"]
            for name in self._left_out.get(part["cls"], ()):
                made["schema"]["fields"][name] = self._plain.derived(own["fields"][name])
            return self._model(part["cls"], made)
        return made

    def _model(self, cls: type, made: dict[str, Any]) -> CoreSchema:
        fields = made["schema"]["fields"]
        if issubclass(cls, Interval):
            listed = _listed_interval(fields)
            return _with_content(made, core_schema.no_info_after_validator_function(_interval, listed))
        if cls is Decision:
            return _with_content(made, core_schema.no_info_after_validator_function(_decision, _listed(fields)))
        if cls in (Attack, Classifier):
            for name in _TRAININGS:
                if name in fields:
                    fields[name] = core_schema.model_field(_key_of_training(fields[name]["schema"]))
        if cls is Attack:
            return self._attack(made)
        if cls is Record:
            return self._record(made)
        return made  # type: ignore[return-value]  # A schema is a dictionary.

    def _attack(self, made: dict[str, Any]) -> CoreSchema:
        """Attacks by their task, which says of which kind the figures are, without a look at the figures."""
        fields = made["schema"]["fields"]
        choices = {}
        for task, figures in fields["metrics"]["schema"]["choices"].items():
            own = {**fields, "metrics": core_schema.model_field(figures)}
            choices[task] = _with_content(made, {**made["schema"], "fields": own})
        return core_schema.tagged_union_schema(choices, "task")

    def _record(self, made: dict[str, Any]) -> CoreSchema:
        training = next(one for ref, one in self._definitions.items() if ".TrainingInfo:" in ref)
        trainings = core_schema.dict_schema(core_schema.str_schema(), self.derived(training))
        fields = {**made["schema"]["fields"], "trainings": core_schema.model_field(trainings)}
        fields["schema_version"] = core_schema.model_field(core_schema.literal_schema([SCHEMA_VERSION]))
        inner = core_schema.no_info_after_validator_function(_linked, {**made["schema"], "fields": fields})
        return _with_content(made, inner)


class _Plain(_Native):
    """The same for what is validated and not kept: tuples and dictionaries, which take a third of the time of parts."""

    # Rounding accepts no more than what it rounds to; the few numbers at a bound, for which it does, are read again.
    lenient = _Native.lenient | {"_six_digits"}

    def _model(self, cls: type, made: dict[str, Any]) -> CoreSchema:
        if issubclass(cls, Interval):
            return _listed_interval(made["schema"]["fields"])
        if cls is Decision:
            return _listed(made["schema"]["fields"])
        return {**made["schema"], "extra_behavior": made["config"]["extra_fields_behavior"]}  # type: ignore[return-value]


def _listed_interval(fields: Mapping[str, Any]) -> CoreSchema:
    known = [fields[name]["schema"] for name in ("value", "low", "high")]
    reason = fields["why_unbounded"]["schema"]["schema"]["schema"]
    return core_schema.tuple_schema([*known, reason], variadic_item_index=3, max_length=4)


def _listed(fields: Mapping[str, Any]) -> CoreSchema:
    return core_schema.tuple_schema([field["schema"] for field in fields.values()])


def _with_content(model: dict[str, Any], content: Any) -> CoreSchema:
    return {**model, "schema": content}  # type: ignore[return-value,misc]  # A schema is a dictionary.


def _key_of_training(schema: Any) -> CoreSchema:
    """A training's key in place of the training; null or absent where it may be."""
    kind = schema["type"]
    if kind == "default":
        return core_schema.with_default_schema(_key_of_training(schema["schema"]), default=None)
    return core_schema.nullable_schema(core_schema.str_schema()) if kind == "nullable" else core_schema.str_schema()


def _interval(values: tuple[Any, ...]) -> _Content:
    if len(values) == 3:
        value, low, high = values
        return {"value": value, "low": low, "high": high, "why_unbounded": None}, None, _INTERVAL_FIELDS
    return dict(zip(Interval.model_fields, values)), None, _REASONED_FIELDS


def _decision(values: tuple[Any, ...]) -> _Content:
    return dict(zip(Decision.model_fields, values)), None, _DECISION_FIELDS


def _linked(content: _Content) -> _Content:
    """A record's content with each training in place of its key."""
    values, extra, given = content
    trainings = values.pop("trainings")
    given.discard("trainings")
    values["defense"] = _named_stand_in(values["defense"])
    values["dataset"] = _named_dataset(values["dataset"])
    classifiers = values["utility"].classifiers if values["utility"] else ()
    for owner in (*values["attacks"], *classifiers):
        # Models are frozen, but this one is not finished yet.
        own = owner.__dict__
        for name in _TRAININGS:
            if own.get(name) is not None:
                if own[name] not in trainings:
                    raise ValueError("there is no such training")
                own[name] = trainings[own[name]]
    return values, extra, given


def _named_stand_in(defense: DefenseInfo) -> DefenseInfo:
    """As in :func:`reidbench.records.upgrade.upgrade`."""
    try:
        published = published_epochs(defense.name, defense.distribution, defense.options)
    except TypeError as error:
        raise ValueError("a number of epochs is a number") from error
    if published is None or "published" in defense.model_fields_set:
        return defense
    return defense.model_copy(update={"published": published})


def _named_dataset(dataset: DatasetInfo) -> DatasetInfo:
    """As in :func:`reidbench.records.upgrade.upgrade`."""
    return dataset.model_copy(update={"options": with_unsaid(dataset.name, dataset.options)})
