"""What a plugin's class declares, read from its source: nothing is imported, which may take seconds or fail."""

from __future__ import annotations

import ast
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def declared_text(where: str, attribute: str) -> str | None:
    """A text that the body of a class assigns to an attribute; None where that cannot be seen in its own source.

    Args:
        where: ``module:Class``, as an entry point has it.
        attribute: of the class. What it inherits is not looked for.
    """
    module, _, name = where.partition(":")
    spec = _find(module)
    if not name or spec is None or spec.origin is None:
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _assigned(node, attribute)
    return None


def _find(module: str) -> ModuleSpec | None:
    # importlib.util.find_spec would import the packages around it.
    path = None
    spec = None
    whole = ""
    for part in module.split("."):
        whole = f"{whole}.{part}" if whole else part
        spec = PathFinder.find_spec(whole, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec


def _assigned(body: ast.ClassDef, attribute: str) -> str | None:
    for node in body.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            continue
        value = node.value  # type: ignore[attr-defined]
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None
