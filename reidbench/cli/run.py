"""`reidbench run`: the whole experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    Preset,
    Quiet,
    Root,
    Seed,
    Size,
    Strict,
    progress_bar,
    require_folder,
    settings_of,
)
from reidbench.cli.plugins import AsJson, PluginsDirs

if TYPE_CHECKING:
    from reidbench.records.schema import Record


def run(
    defense: Annotated[
        list[str],
        typer.Option(help="NAME, NAME:option=value,…, NAME:point or NAME:all; may be given several times."),
    ],
    dataset: DatasetName = None,
    root: Root = None,
    preset: Preset = "quick",
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Number of seeds, from --seed on; one record each.")] = 1,
    attacker: Attackers = None,
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    keep_findings: KeepFindings = False,
    rung: Annotated[
        list[str] | None,
        typer.Option(help="Run only these rungs, such as informed or ignorant/original-released; the record says so."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="File of test pairs instead of generated ones: per line two image names and 1 or 0, tab-separated."
        ),
    ] = None,
    size: Size = None,
    set_: Overrides = None,
    device: Device = "auto",
    devices: Devices = None,
    out: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs"),
    strict: Strict = False,
    strata: Annotated[
        bool,
        typer.Option("--strata", help="Also print true positive rates by age gap, new finding, view, sex …"),
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Write an HTML page beside each record.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the steps that the run would take, and make none of them.")
    ] = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack the release of a defense on every rung; report re-identification and the diagnostic utility."""
    progress = progress_bar(quiet)
    with _waiting("starting", quiet=quiet):
        # torch takes seconds to import; everything that the user typed is checked right after it.
        from reidbench.choosing import choose_dataset, choose_defenses
        from reidbench.harness.run import plan_run
        from reidbench.harness.run import run as run_all
        from reidbench.plugins import Registry
        from reidbench.records.ladder import parse_ladder

    require_folder(out)
    registry = Registry(plugins_dir or ())
    source = choose_dataset(registry, dataset, root)
    settings = settings_of(
        registry,
        attackers=attacker,
        preset=preset,
        seed=seed,
        size=size,
        set_=set_,
        device=device,
        devices=devices,
        generated=source.generated,
        bundle=attackers,
        leave_out=leave_out_known,
        keep_findings=keep_findings,
        ladder=parse_ladder(rung or []),
        pairs=pairs,
    )
    chosen = choose_defenses(registry, defense)

    seeds_of_run = range(seed, seed + seeds)
    if dry_run:
        from reidbench.report.text.plan import print_plan

        planned = plan_run(source, chosen, settings, seeds=seeds_of_run, out=out, strict=strict, progress=progress)
        print_plan(planned, as_json=as_json)
        return

    paths = []

    def done(record: Record, path: Path) -> None:
        paths.append(path)
        progress.say(f"recorded in {path}")

    records = run_all(
        source, chosen, settings, seeds=seeds_of_run, out=out, strict=strict, progress=progress, done=done
    )
    if report:
        from reidbench.cli.report import write

        write(paths, None, plugins_dir or [], quiet=quiet, err=True)
    if as_json:
        typer.echo("[" + ",\n".join(record.model_dump_json(by_alias=True) for record in records) + "]")
    else:
        from reidbench.report.text.terminal import print_summary

        print_summary(records)
        if strata:
            from reidbench.report.text.strata import print_strata

            print_strata(records)


def _waiting(text: str, *, quiet: bool):  # type: ignore[no-untyped-def]
    from contextlib import nullcontext

    from rich.console import Console

    console = Console(stderr=True)
    return nullcontext() if quiet or not console.is_terminal else console.status(text)
