"""Versions of code: a statement that changes is another version, a docstring, a comment or the layout is not."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reidbench
from reidbench import source_version
from reidbench.choosing import choose_dataset
from reidbench.plugins import Registry
from reidbench.source_version import code_version, file_version, source_digest

LIBRARY = Path(reidbench.__file__).parent
# What decides trainings, releases and figures. A record's id and every cache key take code into account through
# code_version and source_digest alone.
PACKAGES = ("attackers", "cohorts.sources.phantom", "defenses", "metrics", "networks", "utility")

MODULE = '''
"""What the module is for."""

import math

WEIGHT = 2.0
"""What the weight is for."""


class Thing:
    """What the class is for."""

    name = "thing"

    def area(self, radius: float = 0.0) -> float:
        """Square units."""
        # Why it is so.
        if radius <= 0:
            return None
        return WEIGHT * math.pi * radius**2
'''


def reworded(text: str) -> str:
    """The same statements with other docstrings and comments, and laid out by another hand."""
    tree = ast.parse(text)
    for part in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(part, field, None)
            # The body of a lambda is no list.
            for statement in statements if isinstance(statements, list) else ():
                if isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str):
                    statement.value.value = "Said in other words."
        if isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(part) is None:
            part.body.insert(0, ast.Expr(ast.Constant("A docstring where there was none.")))
    return f"# A new comment.\n\n\n{ast.unparse(ast.fix_missing_locations(tree))}\n\n# The end.\n"


@pytest.fixture
def module(tmp_path):
    """Writes a module and gives its version."""

    def write(text: str) -> bytes:
        path = tmp_path / "module.py"
        path.write_text(text)
        # A second edit of the same length within one tick of the clock must not pass for the first.
        source_version._file_version.cache_clear()
        return file_version(path)

    return write


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""What the module is for."""\n', ""),
        ("What the module is for.", "Something else."),
        ('"""What the weight is for."""', '"""Half as much."""'),
        ("What the class is for.", "Lines.\n\n    Of text.\n"),
        ("Square units.", "Square metres."),
        ("        # Why it is so.\n", ""),
        ("# Why it is so.", "# Another reason."),
        ("return None", "return None  # for nothing"),
        ("WEIGHT * math.pi * radius**2", "(\n            WEIGHT * math.pi * radius ** 2\n        )"),
        ('"thing"', "'thing'"),
        ("\n\nWEIGHT", "\n\n\n\n\nWEIGHT"),
    ],
)
def test_docstrings_comments_and_layout_do_not_count(module, old, new):
    assert old in MODULE
    assert module(MODULE.replace(old, new, 1)) == module(MODULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WEIGHT = 2.0", "WEIGHT = 2"),
        ("WEIGHT = 2.0", "WEIGHT: float = 2.0"),
        ("WEIGHT = 2.0", "WEIGHT = None"),
        ("WEIGHT * math.pi", "math.pi * WEIGHT"),
        ("return None", "return 0"),
        ("return None", "return"),
        ("return None", "return False"),
        ("return None", "pass"),
        ("radius <= 0", "radius < 0"),
        ("0.0", "1.0"),
        ('"thing"', '"Thing"'),
        ('"thing"', 'b"thing"'),
        ("radius**2", "radius**2.0"),
        ("import math\n", "import math\nimport os\n"),
    ],
)
def test_a_statement_counts(module, old, new):
    assert old in MODULE
    assert module(MODULE.replace(old, new, 1)) != module(MODULE)


def test_a_string_that_is_used_counts(module):
    first = 'def text():\n    return "one"\n'
    assert module(first) != module(first.replace("one", "two"))


def test_what_is_no_valid_python_counts_by_its_bytes(module):
    broken = "def f(:\n    pass  # a comment\n"
    assert module(broken) == module(broken)
    assert module(broken) != module(broken.replace("a comment", "another"))
    assert module("A = 1\n\0") != module("A = 1\n\0# a comment\n")


def test_weights_count_by_their_bytes(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"# one\n")
    first = file_version(path)
    path.write_bytes(b"# two!\n")
    assert file_version(path) != first
    path.write_bytes(b"# one\n")
    assert file_version(path) == first


def test_a_file_that_changes_between_two_looks_is_read_again(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("A = 1\n")
    first = file_version(path)
    path.write_text("A = 10\n")
    assert file_version(path) != first


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_reworded_from_end_to_end_has_its_code_version(package, tmp_path, monkeypatch):
    """Hence its cache keys and record ids: these take in code_version and source_digest, and no other trace of code."""
    copy = tmp_path / f"reworded_{package.split('.')[-1]}"
    shutil.copytree(LIBRARY.joinpath(*package.split(".")), copy, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(copy.rglob("*.py"))
    for path in files:
        text = path.read_text()
        path.write_text(reworded(text))
        assert path.read_text() != text
    monkeypatch.syspath_prepend(str(tmp_path))
    assert code_version.__wrapped__(copy.name) == code_version(f"reidbench.{package}")

    last = files[-1]
    last.write_text(last.read_text() + "CHANGED = True\n")
    assert code_version.__wrapped__(copy.name) != code_version(f"reidbench.{package}")


def test_shipped_weights_are_part_of_a_code_version(tmp_path, monkeypatch):
    package = tmp_path / "package_with_weights"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "weights.safetensors").write_bytes(b"1")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_version.__wrapped__(package.name)
    (package / "weights.safetensors").write_bytes(b"22")
    assert code_version.__wrapped__(package.name) != before
    (package / "readme.txt").write_text("not code")
    (package / "weights.safetensors").write_bytes(b"1")
    assert code_version.__wrapped__(package.name) == before


def test_a_reworded_class_helper_and_base_keep_the_digest_of_their_source(tmp_path, monkeypatch):
    package = tmp_path / "reworded_probe"
    package.mkdir()
    files = {
        "__init__": '"""A package."""\n',
        "helper": MODULE,
        "base": '"""Bases."""\n\n\nclass Base:\n    """A base."""\n\n    name = "base"\n',
        "thing": "from reworded_probe.base import Base\nfrom reworded_probe.helper import WEIGHT\n\n\n"
        "class Mine(Base):\n    name = 'mine'  # and only mine\n    weight = WEIGHT\n",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    thing = importlib.import_module("reworded_probe.thing").Mine
    before = source_digest(thing)
    for name in ("helper", "base", "thing"):
        path = package / f"{name}.py"
        path.write_text(reworded(files[name]))
        assert source_digest(thing) == before, name
        path.write_text(reworded(files[name]) + "CHANGED = True\n")
        assert source_digest(thing) != before, name
        path.write_text(files[name])


def test_pixels_of_the_phantom_go_by_its_code_version():
    source = choose_dataset(Registry(), "phantom:patients=10", None)
    assert code_version("reidbench.cohorts.sources.phantom") in source.fingerprint(source.source().frame)


def interpreters() -> list[Path]:
    """Other versions of Python on this machine, by minor version: on the path, or where pyenv keeps them."""
    found = {}
    for minor in (11, 12, 13):
        if sys.version_info[:2] == (3, minor):
            continue
        on_path = shutil.which(f"python3.{minor}")
        pyenv = sorted(
            Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/3.{minor}.*/bin/python")
        )
        for candidate in [*pyenv, *([Path(on_path)] if on_path else [])]:
            if not subprocess.run([candidate, "-c", ""], capture_output=True).returncode:
                found[minor] = candidate
                break
    return list(found.values())


SYNTAX = '''
def f(x, /, y=-1, *z, w: int = 0, **k):
    """A docstring."""
    return f"{x!r:>{w}} {y=}" "\u00e9" f"{k['a']}" + str(b"\\0"[0:1])
async def g(a):
    async with a as (b, *c):
        yield lambda: (yield)
def h(v):
    match v:
        case {"a": [1, *_], **rest} if rest: pass
        case None | True: del v
try: pass
except* (OSError, ValueError) as e: raise e from None
A: int
B = {**{}, 1: 2}, 1_000j, 1e400, ...
'''

# Of the text above, under every version of Python. A change of how versions are computed changes every cache key.
SYNTAX_VERSION = "92ab77e306c4f265195d2da60e6739b3878abd467903eb966a0a12110e3e4aa5"

VERSIONS = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("source_version", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for path in sys.argv[2:]:
    print(module.file_version(Path(path)).hex())
"""


def test_every_python_gives_the_same_versions(tmp_path):
    syntax = tmp_path / "syntax.py"
    syntax.write_text(SYNTAX)
    # Whichever Python runs this; the others that are found here are asked too, about real modules.
    assert file_version(syntax).hex() == SYNTAX_VERSION
    files = [syntax, Path(source_version.__file__), *sorted((LIBRARY / "networks").glob("*.py"))]
    here = [file_version(path).hex() for path in files]
    for python in interpreters():
        done = subprocess.run(
            [python, "-c", VERSIONS, source_version.__file__, *files], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == here, python


def test_an_import_that_a_function_makes_later_changes_no_digest(tmp_path, monkeypatch):
    package = tmp_path / "late_probe"
    package.mkdir()
    (package / "__init__.py").write_text(
        "def read():\n    from late_probe.pixels import draw\n    return draw()\n\n\nclass Source:\n    pass\n"
    )
    (package / "pixels.py").write_text("def draw():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    probe = importlib.import_module("late_probe")
    before = source_digest(probe.Source)
    assert probe.read() == 1
    assert hasattr(probe, "pixels")
    assert source_digest(probe.Source) == before


def test_where_a_plugin_lies_changes_no_digest(tmp_path, monkeypatch):
    """Before the package of its base class by the order of their paths, or behind it: on another machine it may be."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "middle_base.py").write_text("class Base:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "m"))
    found = []
    for folder in ("a", "z"):
        path = tmp_path / folder / "placed_plugin.py"
        path.parent.mkdir()
        path.write_text("from middle_base import Base\n\n\nclass Placed(Base):\n    area = 1\n")
        spec = importlib.util.spec_from_file_location("placed_plugin", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "placed_plugin", module)
        spec.loader.exec_module(module)
        found.append(source_digest(module.Placed))
    assert found[0] == found[1]
