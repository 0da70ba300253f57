"""Modules, files and commands that the documentation names exist."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from reidbench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
# What typer raises for a wrong command line.
UsageError = typer.BadParameter.__base__
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def text_of(page: Path) -> str:
    if page.suffix != ".ipynb":
        return page.read_text("utf-8")
    cells = json.loads(page.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def ids(value: Path) -> str:
    return value.name


@pytest.mark.parametrize("page", [*PAGES, NOTEBOOK], ids=ids)
def test_python_names_exist(page):
    text = text_of(page)
    named = [
        (module, name.strip())
        for module, names in re.findall(r"^from (reidbench[\w.]*) import ([\w, ]+)$", text, flags=re.MULTILINE)
        for name in names.split(",")
    ]
    named += [path.rpartition(".")[::2] for path in re.findall(r"`(reidbench\.[a-z_.]+\.\w+)`", text)]
    for module, name in named:
        found = importlib.import_module(module)
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_exist(page):
    text = text_of(page)
    folders = "|".join(("reidbench", "plugins/reidbench_plugins", "tests", "benchmarks", "leaderboards", r"\.ci"))
    for path in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]+\w)", text):
        if any(path.startswith(made) for made in ("reidbench/bundles/shipped",)):
            assert (ROOT / path).is_dir()
        else:
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def commands(text: str) -> list[list[str]]:
    """The arguments of every ``reidbench …`` in fenced blocks, or in backticks with at least one option's value."""
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [span.replace("\n", " ") for span in re.findall(r"`(reidbench [a-z-]+ [^`]+)`", text)]
    found = []
    for line in lines:
        line = re.sub(r"\s#\s.*$", "", line.strip().removeprefix("! "))
        if line.startswith("reidbench ") and not re.search(r"…|\||\b[A-Z]\b", line.partition("'")[0]):
            found.append(shlex.split(line)[1:])
    return found


def parse(arguments: list[str]) -> None:
    """Reads a command line as typer does, up to the values of options; runs nothing."""
    command = typer.main.get_command(app.app)
    context = typer.Context(command, info_name="reidbench")
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = typer.Context(command, info_name=name, parent=context)
    command.make_parser(context).parse_args(args=list(arguments))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_parse(page):
    for arguments in commands(text_of(page)):
        try:
            parse(arguments)
        except UsageError as error:
            pytest.fail(f"{page.name}: reidbench {shlex.join(arguments)}: {error.format_message()}")


def test_commands_are_found_and_wrong_ones_are_noticed():
    assert sum(len(commands(text_of(page))) for page in PAGES) > 60
    for wrong in (["run", "--no-such-option"], ["runs"], ["data", "chck"]):
        with pytest.raises(UsageError):
            parse(wrong)
