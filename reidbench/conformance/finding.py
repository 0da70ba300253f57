"""What the suite says of one property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reidbench.defenses.base import BaseDefense

Level = Literal["error", "warning", "figure"]


@dataclass(frozen=True)
class Finding:
    """One property of a defense.

    Attributes:
        property: what was checked, in a word or a few.
        passed: whether it holds on all inputs; True for a figure.
        message: one line. Of a failure: the defense, the property, what was seen and the smallest input that shows it.
        level: ``error`` (a broken promise), ``warning`` (allowed, and seldom meant) or ``figure`` (a measurement).
    """

    property: str
    passed: bool
    message: str
    level: Level = "error"


def broken(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are broken promises: none if the defense conforms."""
    return [finding for finding in findings if not finding.passed and finding.level == "error"]


def failed(defense: BaseDefense | type[BaseDefense], name: str, what: str, level: Level = "error") -> Finding:
    """A finding that a property doesn't hold."""
    return Finding(name, False, f"{defense.name}: {name}: {what}", level)


def each(defense: BaseDefense, found: Mapping[str, str], good: Mapping[str, str]) -> list[Finding]:
    """A finding for each property in ``good``: what was ``found`` of it, or that it holds, in the words given there."""
    return [
        failed(defense, name, found[name]) if name in found else Finding(name, True, text)
        for name, text in good.items()
    ]


def short(error: Exception) -> str:
    """The first line of an error, with its type."""
    text = first_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_line(error: Exception) -> str:
    """The first line of what an error says; empty if it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")
