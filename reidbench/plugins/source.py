"""What a plugin's class declares, read from its source: nothing is imported, which may take seconds or fail."""

from __future__ import annotations

import ast
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from reidbench.public_names import origin


def declared_text(where: str, attribute: str) -> str | None:
    """A text that the body of a class assigns to an attribute; None where that cannot be seen in its own source.

    Args:
        where: ``module:Class``, as an entry point has it.
        attribute: of the class. What it inherits is not looked for.
    """
    found = _class(where)
    return _assigned(found[1], attribute) if found else None


def declared_defaults(where: str) -> dict[str, Any] | None:
    """Default values by option of a pydantic class, as JSON types, inherited ones included.

    Args:
        where: ``module:Class``, as an entry point has it.

    Returns:
        The defaults; options that are required are left out. None where one is not a literal, or where anything in the
        class or its bases may add options that cannot be seen.
    """
    defaults = _defaults(where)
    if defaults is None:
        return None
    made: dict[str, Any] = to_jsonable_python(defaults)
    return made


# What classes of options end in.
_ROOTS = {"pydantic:BaseModel", "pydantic.main:BaseModel", "abc:ABC"}
_EMPTY: dict[str, type] = {"dict": dict, "list": list, "tuple": tuple}
# What adds no option to a class.
_SILENT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass, ast.Expr)


class _Unseen(Exception):
    """A default that cannot be read."""


def _defaults(where: str) -> dict[str, Any] | None:
    if where in _ROOTS:
        return {}
    found = _class(where)
    if found is None:
        return None
    module, body = found
    if body.decorator_list or body.keywords:
        return None
    defaults: dict[str, Any] = {}
    for base in reversed(body.bases):
        inherited = _defaults(_origin(module, where, base))
        if inherited is None:
            return None
        defaults |= inherited
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if name.startswith("_") or "ClassVar" in ast.unparse(node.annotation):
                continue
            try:
                stated = _values(module, node.value)
            except _Unseen:
                return None
            if stated:
                defaults[name] = stated[0]
            else:
                defaults.pop(name, None)
        elif isinstance(node, ast.Assign):
            # Without an annotation it is an attribute of the class, and no option.
            continue
        elif not isinstance(node, _SILENT):
            return None
    return defaults


def _values(module: ast.Module, value: ast.expr | None) -> list[Any]:
    """The default that a field is assigned; none where it is required."""
    if isinstance(value, ast.Call):
        if ast.unparse(value.func) not in ("Field", "pydantic.Field", "reidbench.Field"):
            raise _Unseen
        named = {keyword.arg: keyword.value for keyword in value.keywords}
        if None in named:
            raise _Unseen
        if "default_factory" in named:
            return [_made(module, named["default_factory"])]
        value = value.args[0] if value.args else named.get("default")
    if value is None or (isinstance(value, ast.Constant) and value.value is ...):
        return []
    if isinstance(value, ast.Name):
        stated = [node.value for node in module.body if isinstance(node, ast.Assign) and _names(node) == {value.id}]
        if len(stated) != 1:
            raise _Unseen
        value = stated[0]
    try:
        return [ast.literal_eval(value)]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise _Unseen from error


def _made(module: ast.Module, factory: ast.expr) -> Any:
    """What a factory makes: an empty list, table or tuple."""
    made = _EMPTY.get(factory.id) if isinstance(factory, ast.Name) else None
    if made is None or any(ast.unparse(factory) in _bound(node) for node in module.body):
        raise _Unseen
    return made()


def _names(node: ast.Assign) -> set[str]:
    return {target.id for target in node.targets if isinstance(target, ast.Name)}


def _origin(module: ast.Module, where: str, base: ast.expr) -> str:
    """Where a base class is defined: ``module:Class``; a text that leads nowhere if that cannot be told."""
    name = ast.unparse(base)
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return f"{where.partition(':')[0]}:{name}"
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return origin(alias.name) if node.module == "reidbench" else f"{node.module}:{alias.name}"
    return ""


def _class(where: str) -> tuple[ast.Module, ast.ClassDef] | None:
    """The source of a class, with that of its module."""
    module, _, name = where.partition(":")
    spec = _find(module)
    if not name or spec is None or spec.origin is None:
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    stated = [node for node in tree.body if name in _bound(node)]
    # What is bound twice is not what one of them says.
    return (tree, stated[0]) if len(stated) == 1 and isinstance(stated[0], ast.ClassDef) else None


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return _names(node)
    return {node.name} if isinstance(node, ast.ClassDef | ast.FunctionDef) else set()


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
