"""`reidbench overlap`: candidates for patients that two datasets share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import (
    Bundle,
    Device,
    LeaveOut,
    Overrides,
    Preset,
    Quiet,
    Seed,
    Size,
    Strict,
    progress_bar,
    require_folder,
    settings_of,
)
from reidbench.cli.plugins import AsJson, PluginsDirs


def overlap(
    a: Annotated[str, typer.Argument(help="The first dataset: NAME or NAME:option=value,…")],
    b: Annotated[str, typer.Argument(help="The second dataset.")],
    root_a: Annotated[Path | None, typer.Option(help="The folder of A.")] = None,
    root_b: Annotated[Path | None, typer.Option(help="The folder of B.")] = None,
    train_on: Annotated[
        str | None, typer.Option(help="Dataset to train the attacker on instead of A: NAME or NAME:option=value,…")
    ] = None,
    train_root: Annotated[Path | None, typer.Option(help="The folder of --train-on.")] = None,
    known: Annotated[
        Path | None,
        typer.Option(help="CSV (patient_a,patient_b) of patients known to be shared, for precision and recall."),
    ] = None,
    top: Annotated[int, typer.Option(help="Number of candidates to report.")] = 1000,
    attacker: Annotated[str, typer.Option(help="The attacker.")] = "retrieval",
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    preset: Preset = "quick",
    seed: Seed = 0,
    size: Size = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Annotated[
        Path, typer.Option(help="Folder for candidates.csv, candidates.png, overlap.md and overlap.json.")
    ] = Path("overlap"),
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank pairs of patients of A and B that may be one person, with the expected number of false ones at each rank."""
    from reidbench.choosing import choose_dataset
    from reidbench.errors import ReidbenchError
    from reidbench.files import write_pages
    from reidbench.plugins import Registry
    from reidbench.report.text.overlap import CUTS, as_csv, as_data, as_markdown, draw_candidates, print_overlap
    from reidbench.studies.overlap import overlap as search
    from reidbench.studies.overlap import read_known, recovered

    require_folder(out)
    if train_root is not None and train_on is None:
        raise ReidbenchError("--train-root: name the dataset with --train-on")
    registry = Registry(plugins_dir or ())
    first, second = choose_dataset(registry, a, root_a, "--root-a"), choose_dataset(registry, b, root_b, "--root-b")
    third = choose_dataset(registry, train_on, train_root, "--train-root") if train_on is not None else None
    settings = settings_of(
        registry,
        attackers=[attacker],
        preset=preset,
        seed=seed,
        size=size,
        set_=set_,
        device=device,
        generated=(third or first).generated,
        bundle=attackers,
        leave_out=leave_out_known,
    )
    shared = read_known(known) if known is not None else frozenset()
    progress = progress_bar(quiet)
    found = search(first, second, settings, train_on=third, known=shared, top=top, strict=strict, progress=progress)
    told = [recovered(found, shared, cut) for cut in CUTS] if shared else []
    data = json.dumps(as_data(found, settings, told), indent=1)
    pages = {"candidates.csv": as_csv(found), "overlap.md": as_markdown(found, settings, told)}
    paths = [*write_pages({**pages, "overlap.json": data + "\n"}, out), out / "candidates.png"]
    draw_candidates(found, paths[-1])
    for path in paths:
        progress.say(f"written: {path}")
    if as_json:
        typer.echo(data)
    else:
        print_overlap(found, told)
