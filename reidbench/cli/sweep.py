"""`reidbench sweep`: many runs, one after the other or divided among jobs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from reidbench.cli.arguments import (
    Attackers,
    Bundle,
    DatasetName,
    Device,
    Devices,
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
    list_cells: Annotated[bool, typer.Option("--list-cells", help="List the runs by number; run none.")] = False,
    cell: Annotated[
        int | None, typer.Option(min=1, help="Run only this number of --list-cells: one job of a job array.")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Where cells run: local, ray, or ray://HOST:PORT for a cluster elsewhere.")
    ] = "local",
    gpus_per_run: Annotated[float | None, typer.Option(min=0, help="GPUs of each task on Ray; 0 if left out.")] = None,
    cpus_per_run: Annotated[
        float | None, typer.Option(min=0, help="CPU cores of each task on Ray; 1 if left out.")
    ] = None,
    device: Device = "auto",
    devices: Devices = None,
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
    from reidbench.studies.cluster.connection import is_ray
    from reidbench.studies.cluster.resources import Resources, device_of_nodes, plan_on_ray
    from reidbench.studies.sweep import Place
    from reidbench.studies.sweep import sweep as sweep_all
    from reidbench.studies.sweep_plan import make_plan, prepare, read_plan

    on_ray = is_ray(executor)
    if not on_ray and (gpus_per_run is not None or cpus_per_run is not None):
        raise ReidbenchError("--gpus-per-run and --cpus-per-run need --executor ray")
    resources = Resources(gpus_per_run or 0.0, 1.0 if cpus_per_run is None else cpus_per_run)
    if on_ray and cell is not None:
        raise ReidbenchError("--cell is for jobs of a job array; --executor ray runs all cells")
    if not list_cells:
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
        "devices": devices,
        "timeout": timeout,
    }
    typed = {name: value for name, value in typed.items() if value not in (None, {})}
    files = [name for name in what if name.endswith(".toml")]
    if files and len(what) > 1:
        raise ReidbenchError(f"{files[0]}: give either one file or defenses")
    plan = read_plan(Path(files[0]), typed) if files else make_plan({"defenses": what, **typed}, where="sweep")
    if on_ray:
        plan = plan_on_ray(plan, resources)
    # On Ray no network runs here.
    where = device_of_nodes(device) if on_ray else choose_device(device)
    place = Place(out, cache_folder(), where, plugins_dir or (), strict, quiet)
    # How the work was divided has no say in a record.
    command = typed_command(without=("cell", "executor", "gpus_per_run", "cpus_per_run"))
    prepared = prepare(
        plan,
        plugins_dirs=place.plugins_dirs,
        device=place.device,
        cache=place.cache,
        command=command,
    )
    if list_cells:
        _list(prepared, as_json)
        return
    if cell is not None:
        prepared = prepared.only(cell)
    if on_ray:
        outcomes = _on_ray(plan, prepared, place, executor, resources, device, command)
    else:
        outcomes = list(sweep_all(plan, prepared, place, progress_bar(quiet)))
    if as_json:
        typer.echo(json.dumps([_data(outcome) for outcome in outcomes], indent=1))
    else:
        _show(outcomes)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        run = f", preset {outcome.preset}, seed {outcome.seed}" if outcome.preset else ""
        typer.echo(f"failed: {outcome.label}{run}: {outcome.reason}", err=True)
    raise typer.Exit(1 if failed else 0)


def _on_ray(
    plan: Any,
    prepared: Any,
    place: Any,
    executor: str,
    resources: Any,
    device: str,
    command: str,
) -> list[Any]:
    from reidbench.studies.cluster.node import Given, Told, packed
    from reidbench.studies.cluster.sweep import sweep_on_ray

    given = Given(
        folders=tuple(packed(folder) for folder in place.plugins_dirs),
        cache=_told_cache(place.cache),
        device=device,
        timeout=plan.timeout,
        strict=place.strict,
        quiet=place.quiet,
        command=command,
    )
    outcomes = sweep_on_ray(
        Told(plan, given),
        prepared,
        executor=executor,
        resources=resources,
        out=place.out,
        cache=place.cache,
        progress=progress_bar(place.quiet),
    )
    return list(outcomes)


def _told_cache(cache: Path) -> str | None:
    from reidbench.files import is_address

    given = os.environ.get("REIDBENCH_CACHE")
    if not given:
        return None
    # Of an object store each node has a copy of its own.
    return given if is_address(given) else str(cache.absolute())


def _list(prepared: Any, as_json: bool) -> None:
    rows = [
        {"cell": one.number, "defense": one.label, "preset": one.settings.preset, "seed": one.settings.seed}
        for one in prepared.cells
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        for row in rows:
            typer.echo(f"{row['cell']:>4}  {row['defense']}, preset {row['preset']}, seed {row['seed']}")
    for text, reason in prepared.broken.items():
        typer.echo(f"failed: {text}: {reason}", err=True)
    raise typer.Exit(1 if prepared.broken else 0)


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
