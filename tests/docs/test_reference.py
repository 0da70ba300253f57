"""The reference documents every name that `import reidbench` exports, and only modules that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import reidbench
from reidbench.public_names import origin

PAGE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text("utf-8")
DOCUMENTED = re.findall(r"^::: (reidbench\S+)", PAGE, flags=re.MULTILINE)


def test_every_documented_module_or_name_exists():
    assert len(DOCUMENTED) > 10
    for path in DOCUMENTED:
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path


def test_every_exported_name_is_documented():
    for name in set(reidbench.__all__) - {"__version__"}:
        module = origin(name).partition(":")[0]
        if module.startswith("reidbench"):
            assert any(path == module or path.startswith(f"{module}.") for path in DOCUMENTED), name
