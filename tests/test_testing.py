"""The pytest plugin, as a third party's tests use it: in a pytest run of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reidbench import Defense, ReidbenchError
from reidbench.testing import ConformanceWarning, assert_conforms


class Half(Defense):
    name = "half"

    def transform(self, images, *, rng):
        return images * 0.5


class Outside(Half):
    name = "outside"

    def transform(self, images, *, rng):
        return images + 2


def test_one_line_with_a_class(check_defense) -> None:
    assert all(finding.passed for finding in check_defense(Half))


def test_one_line_with_a_name_and_options() -> None:
    assert all(finding.passed for finding in assert_conforms("gaussian_noise", {"sigma": 0.2}))


def test_a_broken_defense_fails_with_its_smallest_input() -> None:
    with pytest.raises(AssertionError, match=r"outside: range: .* smallest input: 1 black image of 32×32"):
        assert_conforms(Outside)


def test_an_identity_is_a_warning() -> None:
    with pytest.warns(ConformanceWarning, match="identity: not an identity"):
        assert_conforms("identity")


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(ReidbenchError, match="did you mean 'gaussian_noise'"):
        assert_conforms("gaussian_noice")


@pytest.mark.slow
def test_the_fixture_is_there_wherever_reidbench_is_installed(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        """
import sys
HEAVY = "torch" in sys.modules

def test_nothing_heavy_is_loaded_for_others():
    assert not HEAVY

def test_conforms(check_defense):
    check_defense("quantize", {"levels": 4})
    # What trains takes seconds to import.
    assert "lightning" not in sys.modules
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout
