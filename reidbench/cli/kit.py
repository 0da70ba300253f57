"""Commands for authors of plugins: `new-defense`, `check-defense`, `new-attacker` and `check-attacker`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidbench.cli.plugins import AsJson, PluginsDirs

if TYPE_CHECKING:
    from reidbench.conformance import Finding

MARKS = {"error": "FAIL", "warning": "warn"}


def new_defense(
    name: Annotated[str, typer.Argument(help="The defense's name: lower-case letters, digits and _.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One loose file for --plugins-dir instead of a package.")
    ] = False,
    fitted: Annotated[bool, typer.Option("--fitted", help="A defense that is first trained.")] = False,
    out: Annotated[Path, typer.Option(help="Folder to write it into.")] = Path(),
) -> None:
    """Write the skeleton of a defense: a package whose tests pass, or a single file."""
    from reidbench.templates import new_defense as write

    for path in write(name, out, single_file=single_file, fitted=fitted):
        typer.echo(str(path))


def new_attacker(
    name: Annotated[str, typer.Argument(help="The attacker's name: lower-case letters, digits and _.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One loose file for --plugins-dir instead of a package.")
    ] = False,
    joint: Annotated[
        bool, typer.Option("--joint", help="Score the images of a pair jointly, not from two vectors.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder to write it into.")] = Path(),
) -> None:
    """Write the skeleton of an attacker: a package whose tests pass, or a single file."""
    from reidbench.templates import new_attacker as write

    for path in write(name, out, single_file=single_file, joint=joint):
        typer.echo(str(path))


def check_attacker(
    name: Annotated[str, typer.Argument(help="NAME or NAME:option=value,…")],
    preset: Annotated[str, typer.Option(help="Preset whose options are checked.")] = "quick",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "cpu",
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
) -> None:
    """Check an attacker against every rule of its contract; exit 1 if it breaks one."""
    from reidbench.attackers.base import Attacker
    from reidbench.conformance import broken
    from reidbench.conformance import check_attacker as check
    from reidbench.errors import ReidbenchError, did_you_mean
    from reidbench.harness.environment import choose_device
    from reidbench.plugins import Registry
    from reidbench.plugins.options import build, parse_spec

    spec = parse_spec(name)
    if spec.point is not None:
        raise ReidbenchError(f"{name}: {spec.point!r} is not of the form option=value")
    cls = Registry(plugins_dir or ()).get("attacker", spec.name, Attacker)
    recipe = cls.under(preset)
    if preset not in recipe.presets:
        raise ReidbenchError(f"attacker {spec.name!r} has no preset {preset!r}: {did_you_mean(preset, recipe.presets)}")
    made = build("attacker", recipe, {**recipe.presets[preset], **spec.options})
    options = {option: getattr(made, option) for option in spec.options}
    findings = check(cls, options, preset=preset, device=choose_device(device))
    _show(findings, as_json)
    raise typer.Exit(1 if broken(findings) else 0)


def check_defense(
    name: Annotated[str, typer.Argument(help="NAME, NAME:option=value,… or NAME:point")],
    sheet: Annotated[Path | None, typer.Option(help="Write phantoms before and after to this PNG.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "cpu",
    timeout: Annotated[
        float | None, typer.Option(help="Stop the check after this many seconds and print the line it hangs at.")
    ] = None,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
) -> None:
    """Check a defense against every rule of its contract; exit 1 if it breaks one."""
    from reidbench.errors import ReidbenchError

    if timeout is not None:
        # Written so that NaN, for which every comparison is false, is refused too.
        if not timeout > 0:
            raise ReidbenchError(f"--timeout {timeout:g}: must be a number of seconds above 0")
        arguments = [name, f"--device={device}"] + ([f"--sheet={sheet.absolute()}"] if sheet else [])
        arguments += [f"--plugins-dir={folder}" for folder in plugins_dir or ()] + ["--json"] * as_json
        _check_apart(name.partition(":")[0], arguments, timeout, as_json)
    from reidbench.choosing import choose_dataset, choose_defenses
    from reidbench.conformance import broken
    from reidbench.conformance import check_defense as check
    from reidbench.defenses.model import ModelDefense
    from reidbench.harness.environment import choose_device
    from reidbench.plugins import Registry
    from reidbench.report.pictures.before_after import draw_sheet

    registry = Registry(plugins_dir or ())
    chosen = choose_defenses(registry, [name])
    if len(chosen) > 1:
        raise ReidbenchError(f"{name}: name one set of options, as in {chosen[0].defense.name}:option=value")
    defense = chosen[0].defense
    findings = check(type(defense), defense.model_dump(), device=choose_device(device))
    if sheet is not None and not broken(findings):
        if isinstance(defense, ModelDefense):
            raise ReidbenchError(f"--sheet: {defense.name} publishes a model and no images")
        draw_sheet(defense, choose_dataset(registry, None, None), sheet)
    _show(findings, as_json)
    raise typer.Exit(1 if broken(findings) else 0)


def _check_apart(name: str, arguments: list[str], timeout: float, as_json: bool) -> None:
    from reidbench.harness.isolated import run_apart

    ended = run_apart(["check-defense", *arguments], timeout=timeout, say=lambda line: typer.echo(line, err=True))
    if ended.code is None:
        finding = {"property": "time", "passed": False, "message": f"{name}: time: {ended.reason}", "level": "error"}
        typer.echo(json.dumps([finding], indent=1) if as_json else f"FAIL  {finding['message']}")
        raise typer.Exit(1)
    typer.echo(ended.out, nl=False)
    raise typer.Exit(ended.code if ended.code >= 0 else 1)


def _show(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=1))
        return
    for finding in findings:
        if finding.passed:
            mark = "    " if finding.level == "figure" else "ok  "
            typer.echo(f"{mark}  {finding.property}: {finding.message}")
        else:
            typer.echo(f"{MARKS[finding.level]}  {finding.message}")
