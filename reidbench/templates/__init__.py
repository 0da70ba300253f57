"""Skeletons: what an author starts from. Every file in it is needed, and none needs more."""

from __future__ import annotations

import importlib.util
import keyword
import re
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from reidbench.errors import ReidbenchError
from reidbench.plugins import GROUPS, Registry

#: Letters of a name: files are named by it, with more before and behind.
LONGEST = 64


def new_defense(name: str, folder: Path, *, single_file: bool = False, fitted: bool = False) -> list[Path]:
    """Writes the skeleton of a defense: a package in ``folder/reidbench-NAME``, or the one file ``folder/NAME.py``.

    Args:
        name: up to 64 lower-case letters, digits and single underscores between them, a letter first; no installed
            defense has it, and no installed module that of its package.
        folder: where it goes; made if it isn't there.
        single_file: a loose file for ``--plugins-dir`` in place of a package.
        fitted: a defense that trains on the train split first.

    Returns:
        The files that were written.

    Raises:
        ReidbenchError: the name is no good or taken, or the place is.
    """
    return _write("defense", "fitted" if fitted else "module", name, folder, single_file=single_file)


def new_attacker(name: str, folder: Path, *, single_file: bool = False, joint: bool = False) -> list[Path]:
    """Writes the skeleton of an attacker, as :func:`new_defense` does of a defense.

    Args:
        name: as of a defense; no installed attacker has it.
        folder: where it goes; made if it isn't there.
        single_file: a loose file for ``--plugins-dir`` in place of a package.
        joint: an attacker that scores the two images of a pair jointly.

    Returns:
        The files that were written.

    Raises:
        ReidbenchError: the name is no good or taken, or the place is.
    """
    return _write("attacker", "joint" if joint else "attacker", name, folder, single_file=single_file)


def _write(kind: str, module: str, name: str, folder: Path, *, single_file: bool) -> list[Path]:
    _check_name(kind, name)
    if single_file:
        target = folder / f"{name}.py"
        files = {target: module}
    else:
        target = folder / f"reidbench-{_dashed(name)}"
        files = {
            target / f"reidbench_{name}.py": module,
            target / "pyproject.toml": "pyproject",
            target / f"test_{name}.py": "test" if kind == "defense" else "attacker_test",
            target / "README.md": "readme",
            target / ".github" / "workflows" / "test.yml": "workflow",
        }
    try:
        if target.exists():
            raise ReidbenchError(f"{target}: is there already; nothing was written")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as staged:
            for path, template in files.items():
                _fill(Path(staged) / path.relative_to(folder), template, kind, name, loose=single_file)
            (Path(staged) / target.name).replace(target)
    except OSError as error:
        raise ReidbenchError(f"{folder}: cannot be written: {error.strerror}") from error
    return list(files)


def _check_name(kind: str, name: str) -> None:
    if len(name) > LONGEST:
        raise ReidbenchError(f"{name[:LONGEST]!r}…: a name has {LONGEST} letters at most, and this one {len(name)}")
    if not _names_code(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f"; perhaps {near}" if _names_code(near) else ""
        raise ReidbenchError(
            f"{name!r}: a name is lower-case letters, digits and single _ between them, a letter first, and no word "
            f"of Python's own{hint}"
        )
    for row in Registry().found(kind):
        if row.name == name:
            raise ReidbenchError(f"{name!r}: {row.distribution} brings {_a(kind)} of this name already")
    if importlib.util.find_spec(f"reidbench_{name}") is not None:
        raise ReidbenchError(f"{name!r}: a module reidbench_{name} is installed already")


def _names_code(name: str) -> bool:
    # A module, a class and a package are named by it, so that it is neither `class` nor, capitalized, `None`.
    shaped = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is not None
    return shaped and not keyword.iskeyword(name) and not keyword.iskeyword(_class(name))


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _fill(path: Path, template: str, kind: str, name: str, *, loose: bool) -> None:
    # A package's entry point names the class; a loose file has none, and hands its class over by a hook.
    names = {"name": name, "cls": _class(name), "dashed": _dashed(name), "kind": kind, "group": GROUPS[kind]}
    hook = {
        "hookimpl": ", hookimpl" if loose else "",
        "hook": Template(_read("hook")).substitute(names) if loose else "",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(_read(template)).substitute(names | hook), encoding="utf-8")


def _read(template: str) -> str:
    return (resources.files(__name__) / f"{template}.tmpl").read_text(encoding="utf-8")


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
