"""The conformance suite and the regression gate for pytest: one line each in the tests of a package with a plugin.

Installed with reidbench as a pytest plugin, which gives the fixture ``reidbench``::

    def test_conforms(reidbench):
        reidbench.check_defense("my_defense")

    def test_my_attacker_conforms(reidbench):
        reidbench.check_attacker("my_attacker", {"min_steps": 4, "max_steps": 4})

    def test_is_no_weaker(reidbench):
        reidbench.assert_no_regression("released/", "runs/")

``check_defense`` alone is a fixture too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # Nothing heavy at import: pytest loads this in every project where reidbench is installed.
    import torch

    from reidbench.attackers.base import Attacker
    from reidbench.conformance import Finding
    from reidbench.defenses.base import BaseDefense
    from reidbench.report.figures.paired.compare import Comparison


class ConformanceWarning(UserWarning):
    """A plugin conforms, but does what is seldom meant."""


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
    from reidbench.conformance import check_defense
    from reidbench.plugins import Registry

    cls = Registry().get("defense", defense) if isinstance(defense, str) else defense
    return _held(check_defense(cls, options, device=device))


def assert_attacker_conforms(
    attacker: str | type[Attacker],
    options: Mapping[str, Any] | None = None,
    *,
    preset: str = "quick",
    device: torch.device | None = None,
) -> list[Finding]:
    """Fails unless an attacker keeps every promise of the contract. It is trained four times on 64 small images.

    Args:
        attacker: its class, or its name if its package is installed.
        options: its hyperparameters; all else as the preset has it. A few steps of training check all but the warning
            that it learns little.
        preset: one of the attacker's.
        device: where networks run; the CPU unless given.

    Returns:
        All findings, figures of its time among them.

    Raises:
        AssertionError: a promise is broken; a line for each.
        ReidbenchError: there is no attacker of that name.
        PluginError: its package cannot be imported, or its class is no attacker.
    """
    from reidbench.attackers.base import Attacker
    from reidbench.conformance import check_attacker
    from reidbench.plugins import Registry

    cls = Registry().get("attacker", attacker, Attacker) if isinstance(attacker, str) else attacker
    return _held(check_attacker(cls, options, preset=preset, device=device))


def _held(findings: list[Finding]) -> list[Finding]:
    from reidbench.conformance import broken

    for finding in findings:
        if finding.level == "warning" and not finding.passed:
            warnings.warn(finding.message, ConformanceWarning, stacklevel=3)
    # Raised, not asserted: a plugin's asserts would be compiled away under python -O.
    if errors := broken(findings):
        raise AssertionError("\n".join(finding.message for finding in errors))
    return findings


def assert_no_regression(
    base: str | Path,
    new: str | Path,
    *,
    max_auc_rise: float = 0.02,
    max_map_rise: float = 0.02,
    max_utility_drop: float = 0.02,
    every_rung: bool = False,
    strict: bool = False,
) -> list[Comparison]:
    """Fails where a defense got weaker, by the rule of ``reidbench compare``.

    Args:
        base, new: record files, or folders of records.
        max_auc_rise, max_map_rise, max_utility_drop: how far the strongest attacks and utility may move.
        every_rung: judge the largest rise of one rung too.
        strict: fail also where a change past the tolerance may be chance.

    Returns:
        The comparisons, a defense each.

    Raises:
        AssertionError: a regression; the lines that ``reidbench compare`` prints.
        ReidbenchError: the records cannot be compared.
    """
    from reidbench.report.figures.paired.compare import Tolerances, compare
    from reidbench.report.text.compare_page import as_text

    limits = Tolerances(max_auc_rise, max_map_rise, max_utility_drop)
    comparisons = compare(Path(base), Path(new), limits, every_rung=every_rung)
    failing = {"regression", "unclear"} if strict else {"regression"}
    if failing & {comparison.verdict for comparison in comparisons}:
        raise AssertionError(as_text(comparisons))
    return comparisons


class Kit:
    """What the fixture ``reidbench`` gives: the assertions of this module by name."""

    check_defense = staticmethod(assert_conforms)
    check_attacker = staticmethod(assert_attacker_conforms)
    assert_no_regression = staticmethod(assert_no_regression)


@pytest.fixture
def reidbench() -> Kit:
    """``reidbench.check_defense(name)``, ``check_attacker(name)`` and ``assert_no_regression(base, new)``."""
    return Kit()


@pytest.fixture
def check_defense() -> Callable[..., list[Finding]]:
    """The function :func:`assert_conforms`: ``check_defense(name_or_class, options=None, device=None)``."""
    return assert_conforms
