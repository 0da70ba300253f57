"""`reidbench sweep`: many runs one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from reidbench.cli.arguments import (
    Attackers,
    Bundle,
    DatasetName,
    Device,
    KeepFindings,
    LeaveOut,
    Overrides,
    Quiet,
    Root,
    Size,
    Strict,
    overrides,
    progress_bar,
    require_folder,
)
from reidbench.cli.plugins import AsJson, PluginsDirs


def sweep(
    what: Annotated[
        list[str],
        typer.Argument(help="Defenses (NAME, NAME:option=value,…, NAME:all), or one TOML file that lists the runs."),
    ],
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Random seed; may be given several times.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Preset; may be given several times.")] = None,
    dataset: DatasetName = None,
    root: Root = None,
    attacker: Attackers = None,
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    keep_findings: KeepFindings = False,
    rung: Annotated[list[str] | None, typer.Option(help="Run only these rungs; the records say so.")] = None,
    size: Size = None,
    set_: Overrides = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Time limit of each defense's run in seconds, without shared steps."),
    ] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs"),
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run defenses × options × seeds × presets; skip recorded runs, continue after failures, list them at the end."""
    from reidbench.cli.command_text import typed_command
    from reidbench.errors import ReidbenchError
    from reidbench.files import cache_folder
    from reidbench.harness.environment import choose_device
    from reidbench.studies.sweep import Place, make_plan, read_plan
    from reidbench.studies.sweep import sweep as sweep_all

    require_folder(out)
    typed: dict[str, Any] = {
        "seeds": seed,
        "presets": preset,
        "dataset": dataset,
        "root": root,
        "attackers": attacker,
        "bundle": attackers,
        "leave_out_known": leave_out_known or None,
        "keep_findings": keep_findings or None,
        "rungs": rung,
        "size": size,
        "set": overrides(set_ or []),
        "timeout": timeout,
    }
    typed = {name: value for name, value in typed.items() if value not in (None, {})}
    files = [name for name in what if name.endswith(".toml")]
    if files and len(what) > 1:
        raise ReidbenchError(f"{files[0]}: give either one file or defenses")
    plan = read_plan(Path(files[0]), typed) if files else make_plan({"defenses": what, **typed}, where="sweep")
    place = Place(out, cache_folder(), choose_device(device), plugins_dir or (), strict, quiet, typed_command())
    outcomes = list(sweep_all(plan, place, progress_bar(quiet)))
    if as_json:
        typer.echo(json.dumps([_data(outcome) for outcome in outcomes], indent=1))
    else:
        _show(outcomes)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        run = f", preset {outcome.preset}, seed {outcome.seed}" if outcome.preset else ""
        typer.echo(f"failed: {outcome.label}{run}: {outcome.reason}", err=True)
    raise typer.Exit(1 if failed else 0)


def _show(outcomes: list[Any]) -> None:
    from reidbench.report.text.terminal import print_summary

    for preset in dict.fromkeys(outcome.preset for outcome in outcomes):
        records = [outcome.record for outcome in outcomes if outcome.preset == preset and outcome.record]
        if records:
            print_summary(records)
    states = [outcome.state for outcome in outcomes]
    counts = {"recorded": "recorded", "known": "recorded before", "failed": "failed"}
    typer.echo(", ".join(f"{states.count(state)} {word}" for state, word in counts.items() if state in states))


def _data(outcome: Any) -> dict[str, Any]:
    return {
        "defense": outcome.label,
        "preset": outcome.preset or None,
        "seed": outcome.seed if outcome.preset else None,
        "state": outcome.state,
        "record": outcome.record.id if outcome.record else None,
        "reason": outcome.reason or None,
    }
