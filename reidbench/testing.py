"""The conformance suite for pytest: one line in the tests of a package that brings a defense.

Installed with reidbench as a pytest plugin, which gives the fixture ``check_defense``::

    def test_conforms(check_defense):
        check_defense("my_defense")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # Nothing heavy at import: pytest loads this in every project where reidbench is installed.
    import torch

    from reidbench.defenses.base import BaseDefense
    from reidbench.defenses.conformance import Finding


class ConformanceWarning(UserWarning):
    """A defense conforms, but does what is seldom meant."""


def assert_conforms(
    defense: str | type[BaseDefense], options: Mapping[str, Any] | None = None, *, device: torch.device | None = None
) -> list[Finding]:
    """Fails unless a defense keeps every promise of the contract.

    Args:
        defense: its class, or its name if its package is installed.
        options: its options; all else at its defaults.
        device: where images lie; the CPU unless given.

    Returns:
        All findings, figures of speed and memory among them.

    Raises:
        AssertionError: a promise is broken; a line for each, with the smallest input that breaks it.
        ReidbenchError: there is no defense of that name.
        PluginError: its package cannot be imported.
    """
    from reidbench.defenses.conformance import broken, check_defense
    from reidbench.plugins import Registry

    cls = Registry().get("defense", defense) if isinstance(defense, str) else defense
    findings = check_defense(cls, options, device=device)
    for finding in findings:
        if finding.level == "warning" and not finding.passed:
            warnings.warn(finding.message, ConformanceWarning, stacklevel=2)
    errors = broken(findings)
    # Raised, not asserted: a plugin's asserts would be compiled away under python -O.
    if errors:
        raise AssertionError("\n".join(finding.message for finding in errors))
    return findings


@pytest.fixture
def check_defense() -> Callable[..., list[Finding]]:
    """The function :func:`assert_conforms`: ``check_defense(name_or_class, options=None, device=None)``."""
    return assert_conforms
