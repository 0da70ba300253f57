"""Plugins are found, imported one at a time, and break only themselves."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap

import pytest

from reidbench import Attacker, Dataset, PluginError, ReidbenchError
from reidbench.defenses.base import BaseDefense
from reidbench.plugins import GROUPS, Registry
from reidbench.source_version import source_digest

GOOD = """
from reidbench import Defense, hookimpl

class Halve(Defense):
    "Halves every intensity."
    name = "halve"
    def transform(self, images, *, rng):
        return images / 2

@hookimpl
def reidbench_defenses():
    return [Halve]
"""


@pytest.fixture
def loose(tmp_path):
    def write(name: str, text: str):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return tmp_path

    return write


def test_the_built_in_things_come_through_entry_points():
    found = {(row.kind, row.name) for row in Registry().found()}
    assert {("defense", "identity"), ("defense", "blackout"), ("defense", "gaussian_noise")} <= found
    assert {("dataset", "phantom"), ("dataset", "chestxray14"), ("dataset", "covid19")} <= found
    assert {("attacker", "verification"), ("attacker", "retrieval")} <= found


@pytest.mark.parametrize("kind", list(GROUPS))
def test_every_installed_name_gives_the_class_of_that_name(kind):
    registry = Registry()
    for row in registry.found(kind):
        assert registry.get(kind, row.name).name == row.name


def test_listing_imports_no_plugin_and_no_torch():
    code = (
        "import sys; from reidbench.plugins import Registry; assert len(Registry().found()) > 5;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'pandas', 'reidbench_plugins')];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_loose_file_is_a_plugin(loose):
    registry = Registry([loose("mine", GOOD)])
    assert registry.get("defense", "halve").__doc__ == "Halves every intensity."
    row = next(row for row in registry.found("defense") if row.name == "halve")
    assert row.distribution == "mine.py"
    assert len(row.version) == 12


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(ReidbenchError, match="did you mean 'gaussian_noise'"):
        Registry().get("defense", "gausian_nois")
    with pytest.raises(ReidbenchError, match=r"known: .*identity"):
        Registry().get("defense", "zzzzzz")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import nothing_of_this_name", "cannot import: ModuleNotFoundError"),
        ("1 / 0", "cannot import: ZeroDivisionError"),
        ("def f(:", "cannot import: SyntaxError"),
        (GOOD.replace("reidbench_defenses", "reidbench_defences"), "did you mean 'reidbench_defenses'"),
        (GOOD.replace("@hookimpl", ""), "lacks @hookimpl"),
        (GOOD.replace("return [Halve]", "return Halve"), "must return a list of classes"),
        (GOOD.replace("return [Halve]", "return [Halve()]"), "not a class with a `name`"),
        (GOOD.replace("return [Halve]", "return [Halve, Halve]"), "more than once"),
        (GOOD.replace("return [Halve]", "raise RuntimeError('out of order')"), "failed: RuntimeError: out of order"),
        (GOOD.replace('"halve"', '"identity"'), "'identity' is taken by"),
        (GOOD.replace('"halve"', '"../halve"'), "the name '../halve' cannot be part of a file name"),
    ],
)
def test_a_broken_loose_plugin_is_named_and_breaks_only_itself(loose, text, what):
    folder = loose("good", GOOD.replace("halve", "quarter"))
    registry = Registry([loose("bad", text)])
    assert what in registry.broken["bad"]
    assert str(folder / "bad.py") in registry.broken["bad"]
    assert registry.get("defense", "quarter")
    with pytest.raises(PluginError, match=r"bad\.py"):
        registry.get("defense", "bad")


def test_a_plugins_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ReidbenchError, match="no such folder"):
        Registry([tmp_path / "nowhere"])


def test_two_loose_files_of_one_name_do_not_mix(tmp_path):
    for folder, factor in (("a", "2"), ("b", "4")):
        (tmp_path / folder).mkdir()
        text = GOOD.replace("images / 2", f"images / {factor}").replace("halve", f"divide{factor}")
        (tmp_path / folder / "mine.py").write_text(text)
    registry = Registry([tmp_path / "a", tmp_path / "b"])
    assert registry.get("defense", "divide2").__module__ != registry.get("defense", "divide4").__module__


def test_the_digest_of_a_class_follows_its_bases_and_its_packages_helpers(tmp_path, monkeypatch):
    package = tmp_path / "digest_probe"
    package.mkdir()
    files = {
        "__init__": "",
        "_helper": "FACTOR = 2\ndef double(x):\n    return FACTOR * x\n",
        "base": "class Base:\n    name = 'base'\n",
        "thing": "from digest_probe._helper import double\nfrom digest_probe.base import Base\n"
        "class Thing(Base):\n    name = 'thing'\n",
        "other": "X = 1\n",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    thing = importlib.import_module("digest_probe.thing").Thing
    importlib.import_module("digest_probe.other")
    before = source_digest(thing)
    assert source_digest(thing) == before
    (package / "other.py").write_text("X = 2\n")
    assert source_digest(thing) == before, "a module that it doesn't use"
    for name in ("thing", "base", "_helper"):
        (package / f"{name}.py").write_text(files[name] + "CHANGED = True\n")
        assert source_digest(thing) != before, name
        (package / f"{name}.py").write_text(files[name])
    assert source_digest(thing) == before


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with these entry points: its metadata and module on the path."""

    def install(text: str, points: str) -> None:
        name = f"{tmp_path.name}_{len(list(tmp_path.iterdir()))}"  # No module is imported twice under one name.
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points.replace("MODULE", name))
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_an_entry_point_names_a_class_or_a_module_with_a_hook(installed):
    installed(
        GOOD.replace("@hookimpl\ndef reidbench_defenses():\n    return [Halve]", ""),
        "[reidbench]\nhalve = MODULE:Halve\n",
    )
    installed(GOOD.replace("halve", "half"), "[reidbench]\nhalf = MODULE\n")
    registry = Registry()
    for name in ("halve", "half"):
        assert registry.get("defense", name).name == name
        assert registry.describe("defense", name).version == "1.0"


@pytest.mark.parametrize(
    ("points", "what"),
    [
        ("[reidbench]\nmine = MODULE:Missing\n", "mine: cannot import .*: AttributeError"),
        ("[reidbench]\nmine = MODULE:Halve\n", "mine: .*:Halve is named 'halve', but its entry point 'mine'"),
        ("[reidbench]\nmine = MODULE:reidbench_defenses\n", "mine: .*, which is not a class with a `name`"),
        ("[reidbench]\nmine = MODULE\n", r"mine: .* returns no defense named 'mine'; .*module:Class"),
    ],
)
def test_an_entry_point_that_gives_no_such_class_is_refused(installed, points, what):
    installed(GOOD, points)
    with pytest.raises(PluginError, match=what):
        Registry().get("defense", "mine")


@pytest.mark.parametrize(
    ("kind", "base", "what"),
    [
        ("defense", BaseDefense, "odd: Odd is not a subclass of reidbench.Defense or one of its kinds"),
        ("dataset", Dataset, "odd: Odd is not a subclass of reidbench.Dataset"),
        ("attacker", Attacker, "odd: Odd is not a subclass of reidbench.Attacker"),
    ],
)
def test_a_class_of_another_kind_is_refused(loose, kind, base, what):
    text = f"""
        from reidbench import hookimpl

        class Odd:
            name = "odd"

        @hookimpl
        def reidbench_{kind}s():
            return [Odd]
    """
    registry = Registry([loose("odd", text)])
    assert registry.get(kind, "odd").name == "odd"
    with pytest.raises(PluginError) as caught:
        registry.get(kind, "odd", base)
    assert str(caught.value) == what
