"""docs/defenses.md is what its script writes from the classes."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate_defenses", ROOT / "docs" / "generate_defenses.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "defenses.md").read_text(encoding="utf-8")
    assert written == module.page(), "stale: run python docs/generate_defenses.py"
