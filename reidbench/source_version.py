"""Versions of code, for cache keys and record ids: a statement that changes is another version, a sentence is not.

Python files are hashed as syntax trees without docstrings; comments and layout are in no syntax tree. Files of other
kinds, such as weights that ship with a package, are hashed byte by byte.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import resolve_name
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from types import ModuleType

# What decides a step beside its inputs: code, and weights that ship with it.
SOURCES = (".py", ".safetensors")
_FOREIGN = {"pydantic", "torch", *sys.stdlib_module_names}


@cache
def code_version(*packages: str) -> str:
    """SHA-256 over the files of packages or modules, shipped weights too: the code version of what they carry out."""
    digest = hashlib.sha256()
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name)
        origin = Path(spec.origin)
        files = [origin]
        if origin.name == "__init__.py":
            files = sorted(path for path in origin.parent.rglob("*") if path.suffix in SOURCES)
        for path in files:
            digest.update(path.name.encode())
            digest.update(file_version(path))
    return digest.hexdigest()[:32]


def source_digest(cls: type) -> str:
    """SHA-256 over the source that a class stands on: a cached step ends when the code that made it changes.

    That is the files of the class and of its bases, and of the modules of their own packages that these import.
    """
    files: set[Path] = set()
    for base in cls.__mro__:
        _gather(sys.modules.get(base.__module__), files)
    digest = hashlib.sha256()
    # Not by their paths: a plugin's folder may come before this package on one machine and behind it on another.
    for name, version in sorted((path.name, file_version(path)) for path in files):
        digest.update(name.encode())
        digest.update(version)
    return digest.hexdigest() if files else "no file"  # typed into a notebook or a shell


def _gather(module: ModuleType | None, files: set[Path]) -> None:
    path = Path(str(getattr(module, "__file__", None)))
    package = getattr(module, "__package__", "")
    # The framework's own classes are not a plugin's code; what the core does to a step is in that step's code version.
    top = getattr(module, "__name__", "").split(".")[0]
    if module is None or top in _FOREIGN or path in files or not path.is_file():
        return
    files.add(path)
    if not package:
        return
    # A submodule that a function imports becomes an attribute of its package then: the digest must not depend on when.
    bound = _bound_by_imports(path)
    values = [one for name, one in vars(module).items() if not isinstance(one, ModuleType) or name in bound]
    names = {
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) for value in values
    }
    # A number or a list that is imported does not say where it came from; the statement does.
    for name in names | {resolve_name(source, package) for source in _imported_from(path)}:
        if isinstance(name, str) and (name == package or name.startswith(f"{package}.")):
            _gather(sys.modules.get(name), files)


@cache
def _imported_from(path: Path) -> list[str]:
    """Modules from which a file imports names as it is loaded, with leading dots where they are relative."""
    if path.suffix != ".py":
        return []
    statements = ast.parse(path.read_bytes()).body
    return ["." * one.level + (one.module or "") for one in statements if isinstance(one, ast.ImportFrom)]


@cache
def _bound_by_imports(path: Path) -> frozenset[str]:
    """Names that a file's imports bind as it is loaded."""
    if path.suffix != ".py":
        return frozenset()
    statements = [one for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.Import | ast.ImportFrom)]
    names = [name for one in statements for name in one.names]
    return frozenset(name.asname or name.name.partition(".")[0] for name in names)


def file_version(path: Path) -> bytes:
    """What a file contributes to the version of the code it belongs to: 32 bytes.

    Equal for two Python files that differ in docstrings, comments and layout alone. Other files, and files that are not
    valid Python, are hashed as they are.
    """
    there = path.stat()
    return _file_version(path, there.st_mtime_ns, there.st_size)


@cache
def _file_version(path: Path, *_when_and_size: int) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".py":
        with contextlib.suppress(SyntaxError, ValueError):
            content = _form(ast.parse(content)).encode()
    return hashlib.sha256(content).digest()


def _form(tree: ast.AST) -> str:
    """A syntax tree as JSON without docstrings and positions, the same under every version of Python that reads it.

    Later versions have more fields, which are empty for what earlier ones can say: nothing empty is kept.
    """
    parts: list[str] = []
    _write_form(tree, parts.append)
    return "".join(parts)


def _write_form(part: object, write: Callable[[str], object]) -> None:
    """Writes the JSON piece by piece: a run reads half a million parts before it starts, and waits for it."""
    if isinstance(part, str):
        write(_quoted(part))
    elif isinstance(part, ast.AST):
        head, fields = _outline(type(part).__name__, part._fields)
        write(head)
        between = ""
        for name, label in fields:
            value = getattr(part, name, None)
            # A constant may be None, False or 0 and say so.
            if name == "value" or not (value is None or (isinstance(value, list) and all(map(_is_text, value)))):
                write(between)
                write(label)
                _write_form(value, write)
                between = ", "
        write("}]")
    elif isinstance(part, list):
        # Some versions end a nested format with an empty text, others do not.
        if any(isinstance(one, ast.FormattedValue) for one in part):
            part = [one for one in part if getattr(one, "value", None) != ""]
        between = "["
        for one in part:
            # A statement that is a text alone does nothing: a docstring, or the description of an attribute.
            if not _is_text(one):
                write(between)
                _write_form(one, write)
                between = ", "
        write("]" if between == ", " else "[]")
    else:
        plain = part is None or isinstance(part, bool)
        write(json.dumps(part) if plain else _quoted(f"{type(part).__name__} {part!r}"))


@cache
def _outline(kind: str, fields: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """What the JSON of a kind of part begins with, and its fields with their labels."""
    return f'["{kind}", {{', [(name, f'"{name}": ') for name in fields]


def _is_text(part: object) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
