"""Titles of records: the defense with the options that differ from its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.plugins import Registry
from reidbench.records.schema import Record
from reidbench.report.figures.summary import defense_label


class Titles:
    """Titles of the pages of single records, where no table states the options that its rows have in common.

    Args:
        registry: the installed defenses, whose classes hold the defaults; most are read from their source.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, Mapping[str, Any] | None] = {}

    def of(self, record: Record) -> str:
        """``jpeg quality=10``: name, and options whose value is not the default of the installed class.

        All options that are set are named where the defense is not installed.
        """
        name, options = record.defense.name, record.defense.options
        if not options:
            return defense_label(record)
        defaults = self._defaults(name)
        if defaults is None:
            return defense_label(record)
        missing = object()
        # Options that newer versions added are not in the record; options that they removed have no default.
        shown = {option: value for option, value in options.items() if defaults.get(option, missing) != value}
        return " ".join([name, *(f"{option}={_text(value)}" for option, value in shown.items())])

    def _defaults(self, name: str) -> Mapping[str, Any] | None:
        if name not in self._known:
            try:
                self._known[name] = self._registry.option_defaults("defense", name)
            except ReidbenchError:
                self._known[name] = None
        return self._known[name]


def _text(value: object) -> str:
    # As on the command line.
    return "none" if value is None else str(value)
