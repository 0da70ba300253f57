"""A third party's package in an environment of its own, which `tox -e third_party` makes and runs these tests in."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

# It has tests of its own, which one of these tests runs as its authors would.
collect_ignore = ["example"]


@pytest.fixture(scope="session", autouse=True)
def own_environment() -> None:
    """Skips where the package is not installed: elsewhere nothing here could be true."""
    try:
        version("reidbench-example")
    except PackageNotFoundError:
        pytest.skip("needs an environment of its own: tox -e third_party")
