"""What the suite says of one property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reidbench.attackers.base import Attacker
from reidbench.defenses.base import BaseDefense

Level = Literal["error", "warning", "figure"]
#: What is checked.
Plugin = BaseDefense | Attacker


@dataclass(frozen=True)
class Finding:
    """One property of a defense or an attacker.

    Attributes:
        property: what was checked, in a word or a few.
        passed: whether it holds on all inputs; True for a figure.
        message: one line. Of a failure: the plugin, the property, what was seen and the smallest input that shows it.
        level: ``error`` (a broken promise), ``warning`` (allowed, and seldom meant) or ``figure`` (a measurement).
    """

    property: str
    passed: bool
    message: str
    level: Level = "error"


def broken(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are broken promises: none if the plugin conforms."""
    return [finding for finding in findings if not finding.passed and finding.level == "error"]


def failed(plugin: Plugin | type[Plugin], name: str, what: str, level: Level = "error") -> Finding:
    """A finding that a property doesn't hold."""
    return Finding(name, False, f"{plugin.name}: {name}: {what}", level)


def each(plugin: Plugin, found: Mapping[str, str], good: Mapping[str, str]) -> list[Finding]:
    """A finding for each property in ``good``: what was ``found`` of it, or that it holds, in the words given there."""
    return [
        failed(plugin, name, found[name]) if name in found else Finding(name, True, text) for name, text in good.items()
    ]


def short(error: Exception) -> str:
    """The first line of an error, with its type."""
    text = first_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_line(error: Exception) -> str:
    """The first line of what an error says; empty if it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")
