"""The command line as records keep it: options as they were typed, with FOLDER and FILE in place of paths."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from collections.abc import Collection
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from reidbench.errors import ReidbenchError
from reidbench.plugins.options import parse_spec
from reidbench.processes import Terminated

# Options whose values contain a slash without being paths, or texts that are meant for publication.
_KEPT = frozenset({"rung", "name", "summary", "licence", "attribution"})
# Whole values that may be a folder or a file by a bare name: a bundle, a TOML file.
_PLACES = frozenset({"attackers", "what", "bundle"})
# The ending of a file's name; 0.5 and 1e-3 have none.
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,14}$")

# The context of the running command. Any: some versions of typer have click, others a copy of it.
_running: ContextVar[Any] = ContextVar("running", default=None)


#: What is left after Ctrl-C.
KEPT = "finished steps and records are kept; the same command goes on from there"


class RecordedCommand(TyperCommand):
    """A command whose text :func:`typed_command` gives while it runs, and that a plugin cannot end."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            ReidbenchError: a plugin ended the program; its exit status must not stand for that of the command.
        """
        token = _running.set(ctx)
        try:
            return super().invoke(ctx)
        except SystemExit as stop:
            raise ReidbenchError(
                f"a plugin ended the program with SystemExit({stop.code}) before {ctx.info_name} was done"
            ) from stop
        except KeyboardInterrupt as stop:
            print(f"reidbench: interrupted: {KEPT}", file=sys.stderr)
            sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
        finally:
            _running.reset(token)


def typed_command(without: Collection[str] = ()) -> str:
    """The command that is running, for a record: only options that were typed, without any path.

    A record is made to be published, and names of folders and files can identify an institution or a patient.

    Args:
        without: parameters that no record depends on.
    """
    context = _running.get()
    if context is None:
        return ""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in without:
            continue
        given = context.params[name]
        for value in given if isinstance(given, list | tuple) else [given]:
            words += _words(parameter, name, value)
    return shlex.join(words)


def without_paths(text: str, *, place: bool = False) -> str:
    """A typed value with FOLDER or FILE in place of each path in it.

    Args:
        text: ``value``, ``NAME=value``, ``name:option=value,…`` or ``name:{json}``.
        place: whether the whole text may be a path without a slash.
    """
    if place and _is_path(text):
        return _placeholder(text)
    name, colon, rest = text.partition(":")
    # One letter before the colon is a drive.
    if colon and rest and len(name) > 1 and not {"/", "\\", "="} & set(name):
        return f"{name}:{_options(text, rest)}"
    owner, equals, value = text.partition("=")
    if equals:
        return f"{owner}={_value(value)}"
    return _placeholder(text) if _has_slash(text) else text


def _words(parameter: Any, name: str, value: Any) -> list[str]:
    option = [parameter.opts[0]] if parameter.param_type_name == "option" else []
    if isinstance(value, bool):
        return option if value else parameter.secondary_opts[:1]
    if isinstance(value, Path):
        return [*option, _placeholder(str(value))]
    text = str(value)
    return [*option, text if name in _KEPT else without_paths(text, place=name in _PLACES)]


def _options(text: str, rest: str) -> str:
    try:
        spec = parse_spec(text)
    except ReidbenchError:
        return _value(rest)
    if rest.startswith("{"):
        return json.dumps({option: _value(value) for option, value in spec.options.items()})
    point = [] if spec.point is None else [str(_value(spec.point))]
    return ",".join([*point, *(f"{option}={_value(value)}" for option, value in spec.options.items())])


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {name: _value(one) for name, one in value.items()}
    return _placeholder(value) if isinstance(value, str) and _is_path(value) else value


def _is_path(text: str) -> bool:
    if _has_slash(text) or _ENDING.search(text):
        return True
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):  # Too long for a name, or with a null character.
        return False


def _has_slash(text: str) -> bool:
    return "/" in text or "\\" in text or text.startswith("~")


def _placeholder(text: str) -> str:
    try:
        if Path(text).is_dir():
            return "FOLDER"
    except (OSError, ValueError):
        pass
    return "FILE" if _ENDING.search(text) else "FOLDER"
