"""Hook specifications, and finding, importing and checking of plugins.

Listing reads entry-point metadata and imports nothing, so that a broken plugin cannot break a list; requesting a plugin
imports only that one. Built-in defenses, datasets and attackers are found in the same way as those of third parties.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, overload

import pluggy
from pydantic import BaseModel

from reidbench.errors import PluginError, ReidbenchError, did_you_mean
from reidbench.files import RULE, names_files
from reidbench.plugins.options import option_defaults
from reidbench.plugins.source import declared_defaults, declared_text

PROJECT = "reidbench"

#: Families of defenses, in the order of lists; authors may add their own.
FAMILIES = (
    "control",
    "processing",
    "noise",
    "blur",
    "formal",
    "k-same",
    "keyed",
    "adversarial",
    "learned",
    "synthetic",
    "model",
)
#: The family of a defense that declares none.
OTHER = "other"

Class = TypeVar("Class")

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """The hooks of a module with several plugins: a loose file, or a module that an entry point names without a class.

    Each hook returns a list of classes. An entry point ``module:Class`` needs no hook.
    """

    @hookspec
    def reidbench_defenses(self) -> list[type]:  # type: ignore[empty-body]
        """Defense classes of this plugin: subclasses of ``reidbench.Defense`` or of one of its kinds."""

    @hookspec
    def reidbench_datasets(self) -> list[type]:  # type: ignore[empty-body]
        """Dataset classes of this plugin: subclasses of ``reidbench.Dataset``."""

    @hookspec
    def reidbench_attackers(self) -> list[type]:  # type: ignore[empty-body]
        """Attacker classes of this plugin: subclasses of ``reidbench.Attacker``."""


# By kind of plugin: its entry-point group, its hook, and its base class in words.
GROUPS = {"defense": "reidbench", "dataset": "reidbench.datasets", "attacker": "reidbench.attackers"}
HOOKS = {"defense": "reidbench_defenses", "dataset": "reidbench_datasets", "attacker": "reidbench_attackers"}
BASES = {
    "defense": "reidbench.Defense or one of its kinds",
    "dataset": "reidbench.Dataset",
    "attacker": "reidbench.Attacker",
}


@dataclass(frozen=True)
class Found:
    """A plugin as its packaging describes it, before anything is imported.

    Attributes:
        kind: ``defense``, ``dataset`` or ``attacker``.
        name: its name on the command line and in records.
        where: ``module:Class`` or ``module`` from the entry point, or the path of a loose file.
        distribution: the installed package that provides it, or the name of the file.
        version: the version of that package; for a loose file the first 12 hexadecimal digits of its SHA-256.
    """

    kind: str
    name: str
    where: str
    distribution: str
    version: str


class Registry:
    """All plugins that are installed or lie in one of ``plugins_dirs`` (files ``*.py``).

    Loose files are imported when the registry is made, since only the import shows which plugins they provide.

    Raises:
        ReidbenchError: a folder of ``plugins_dirs`` does not exist.
    """

    def __init__(self, plugins_dirs: Sequence[Path] = ()) -> None:
        self._entry_points: dict[tuple[str, str], metadata.EntryPoint] = {}
        self._duplicates: dict[tuple[str, str], list[str]] = {}
        self._imported: dict[str, Any] = {}
        self._loose: dict[tuple[str, str], tuple[ModuleType, type]] = {}
        self.broken: dict[str, str] = {}
        for kind, group in GROUPS.items():
            for entry in metadata.entry_points(group=group):
                self._add_entry(kind, entry)
        for folder in plugins_dirs:
            if not folder.is_dir():
                raise ReidbenchError(f"--plugins-dir {folder}: no such folder")
            for path in sorted(folder.glob("*.py")):
                self._add_loose(path)

    def _add_entry(self, kind: str, entry: metadata.EntryPoint) -> None:
        key = (kind, entry.name)
        other = self._entry_points.get(key)
        if other is not None and (other.value, _distribution(other)) != (entry.value, _distribution(entry)):
            self._duplicates.setdefault(key, [_distribution(other)[0]]).append(_distribution(entry)[0])
        self._entry_points[key] = entry

    def _add_loose(self, path: Path) -> None:
        # A broken file must not block the others: its error is stored, and raised when the plugin is requested.
        try:
            module = _import_file(path)
            manager = _manager(module, str(path))
            brought = [(kind, cls) for kind, hook in HOOKS.items() for cls in _classes(manager, hook, str(path))]
        except PluginError as error:
            self.broken[path.stem] = str(error)
            return
        for kind, cls in brought:
            key = (kind, cls.name)
            if key in self._entry_points or key in self._loose:
                taken = self._loose[key][0].__file__ if key in self._loose else self._entry_points[key].value
                self.broken[path.stem] = f"{path}: the {kind} name {cls.name!r} is taken by {taken}"
                continue
            self._loose[key] = (module, cls)

    def found(self, kind: str | None = None) -> list[Found]:
        """All plugins, sorted by kind and name; imports no installed plugin.

        Args:
            kind: ``defense``, ``dataset`` or ``attacker``; None for all.
        """
        rows = [
            Found(k, n, entry.value, *_distribution(entry))
            for (k, n), entry in self._entry_points.items()
            if kind in (None, k)
        ]
        for (k, n), (module, _) in self._loose.items():
            if kind in (None, k):
                path = Path(str(module.__file__))
                rows.append(Found(k, n, str(path), path.name, _digest(path)))
        return sorted(rows, key=lambda row: (list(GROUPS).index(row.kind), row.name))

    def family(self, row: Found) -> str:
        """The family that a defense's class declares, ``other`` where none can be seen; imports no installed plugin.

        An installed plugin's is read from the source of the class itself; a family that it inherits is not found.
        """
        if (row.kind, row.name) in self._loose:
            return str(getattr(self._loose[row.kind, row.name][1], "family", OTHER))
        return declared_text(row.where, "family") or OTHER

    def option_defaults(self, kind: str, name: str) -> dict[str, Any]:
        """Default values by option, as JSON types; an installed plugin is imported only if its source does not say.

        Raises:
            ReidbenchError: as of :meth:`get`, or the class has no typed options.
        """
        key = (kind, name)
        if key in self._entry_points and key not in self._duplicates and key not in self._loose:
            declared = declared_defaults(self._entry_points[key].value)
            if declared is not None:
                return declared
        return option_defaults(self.get(kind, name, BaseModel))

    @overload
    def get(self, kind: str, name: str) -> type: ...

    @overload
    def get(self, kind: str, name: str, base: type[Class]) -> type[Class]: ...

    def get(self, kind: str, name: str, base: type = object) -> type:
        """The class of that kind and name; imports only the plugin that provides it.

        Args:
            kind: ``defense``, ``dataset`` or ``attacker``.
            name: as :meth:`found` lists it.
            base: the required base class.

        Raises:
            ReidbenchError: the name is unknown; the message suggests the nearest one.
            PluginError: two packages provide the name, the plugin is broken, or its class does not subclass ``base``.
        """
        cls = self._class(kind, name)
        if not issubclass(cls, base):
            raise PluginError(f"{name}: {cls.__name__} is not a subclass of {BASES[kind]}")
        return cls

    def _class(self, kind: str, name: str) -> type:
        key = (kind, name)
        if key in self._loose:
            return self._loose[key][1]
        if key in self._duplicates:
            raise PluginError(
                f"{name}: several packages provide a {kind} of this name: {', '.join(self._duplicates[key])}"
            )
        if key not in self._entry_points:
            if name in self.broken:
                raise PluginError(self.broken[name])
            known = [n for k, n in [*self._entry_points, *self._loose] if k == kind]
            raise ReidbenchError(f"unknown {kind} {name!r}: {did_you_mean(name, known)}")
        entry = self._entry_points[key]
        thing = self._import(entry, name)
        if not isinstance(thing, ModuleType):
            _check_class(thing, entry.value, name)
            if thing.name != name:
                raise PluginError(f"{name}: {entry.value} is named {thing.name!r}, but its entry point {name!r}")
            named: type = thing
            return named
        for cls in _classes(_manager(thing, name), HOOKS[kind], name):
            if cls.name == name:
                found: type = cls
                return found
        raise PluginError(
            f"{name}: {HOOKS[kind]}() of {entry.value} returns no {kind} named {name!r}; the entry point may also name "
            "the class itself, as module:Class"
        )

    def describe(self, kind: str, name: str) -> Found:
        """The plugin of that kind and name, with its origin.

        Raises:
            ReidbenchError: the name is unknown.
        """
        for row in self.found(kind):
            if row.name == name:
                return row
        raise ReidbenchError(f"unknown {kind} {name!r}: {did_you_mean(name, [r.name for r in self.found(kind)])}")

    def _import(self, entry: metadata.EntryPoint, name: str) -> Any:
        if entry.value not in self._imported:
            try:
                thing = entry.load()
            except Exception as error:
                raise PluginError(f"{name}: cannot import {entry.value}: {_short(error)}") from error
            self._imported[entry.value] = thing
        return self._imported[entry.value]


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _import_file(path: Path) -> ModuleType:
    name = f"reidbench_loose_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"{path}: cannot import: {_short(error)}") from error
    return module


def _manager(module: ModuleType, name: str) -> pluggy.PluginManager:
    # One manager per plugin, so that plugins cannot affect each other.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = did_you_mean(str(error).split("'")[1] if "'" in str(error) else "", HOOKS.values())
        raise PluginError(f"{name}: unknown or wrong hook: {_short(error)} ({known})") from error
    for attribute in dir(module):
        # pluggy silently ignores a hook without @hookimpl, which is never intended.
        if attribute.startswith("reidbench_") and callable(getattr(module, attribute)):
            implemented = getattr(getattr(module, attribute), f"{PROJECT}_impl", None)
            if implemented is None and attribute in HOOKS.values():
                raise PluginError(f"{name}: {attribute}() lacks @hookimpl")
    return manager


def _classes(manager: pluggy.PluginManager, hook: str, name: str) -> list[Any]:
    try:
        results: list[list[Any]] = getattr(manager.hook, hook)()
    except Exception as error:
        raise PluginError(f"{name}: {hook}() failed: {_short(error)}") from error
    classes: list[Any] = []
    for result in results:
        if not isinstance(result, list | tuple):
            raise PluginError(f"{name}: {hook}() must return a list of classes, not {type(result).__name__}")
        for cls in result:
            _check_class(cls, f"{hook}()", name)
            classes.append(cls)
    names = [cls.name for cls in classes]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise PluginError(f"{name}: {hook}() returns {', '.join(twice)} more than once")
    return classes


def _check_class(thing: Any, where: str, name: str) -> None:
    named = getattr(thing, "name", None)
    if not isinstance(thing, type) or not isinstance(named, str):
        raise PluginError(f"{name}: {where} provides {thing!r}, which is not a class with a `name`")
    # Checked here, so that it does not fail only when the record of a long run is written.
    if not names_files(named):
        raise PluginError(f"{name}: the name {named!r} cannot be part of a file name: {RULE}")
