"""`reidbench run`: the whole experiment."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidbench.cli.plugins import AsJson, PluginsDirs

if TYPE_CHECKING:
    from reidbench.harness.record import Record


def run(
    defense: Annotated[
        list[str],
        typer.Option(help="NAME, NAME:option=value,…, NAME:point or NAME:all; several share what can be shared."),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="NAME or NAME:option=value,…; the built-in phantom if left out.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the dataset.")] = None,
    preset: Annotated[str, typer.Option(help="quick, standard or paper.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="Seed of release, training and sampling.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds, from --seed on; a record each.")] = 1,
    attacker: Annotated[list[str] | None, typer.Option(help="Attackers in place of verification, retrieval.")] = None,
    rung: Annotated[
        list[str] | None,
        typer.Option(help="Only these rungs, such as informed or ignorant/original-released; marks the record."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Test pairs from a file (two image names and 1 or 0 a line, tab-separated) in place of built."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Width and height of the images in pixels.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE over the preset, as retrieval.epochs=5.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs"),
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a dataset with unreadable images.")] = False,
    strata: Annotated[
        bool, typer.Option("--strata", help="Also print true positive rates by age gap, new finding, view, sex …")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Write a page beside each record, for a browser.")] = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notices.")] = False,
) -> None:
    """Attack a defense's release on every rung and report the drop beside the diagnostic utility that is left."""
    from reidbench.cli.console import Terminal
    from reidbench.errors import ReidbenchError
    from reidbench.progress import Silent

    progress = Silent() if quiet else Terminal()
    with _waiting("starting", quiet=quiet):
        # torch takes seconds to import; everything that the user typed is checked right after it.
        from reidbench.harness.environment import cache_folder, choose_device
        from reidbench.harness.run import choose_dataset, choose_defenses
        from reidbench.harness.run import run as run_all
        from reidbench.harness.settings import DEFAULT_ATTACKERS, make_settings
        from reidbench.harness.threats import parse_ladder
        from reidbench.plugins import Registry

    if out.exists() and not out.is_dir():
        raise ReidbenchError(f"--out {out}: a file of this name is in the way")
    registry = Registry(plugins_dir or ())
    settings = make_settings(
        registry,
        preset=preset,
        device=choose_device(device),
        cache=cache_folder(),
        attackers=tuple(attacker or DEFAULT_ATTACKERS),
        overrides=overrides(set_ or []),
        size=size,
        ladder=parse_ladder(rung or []),
        pair_list=pairs,
        seed=seed,
        command=typed_command(),
    )
    chosen = choose_defenses(registry, defense)
    source = choose_dataset(registry, dataset, root)

    paths = []

    def done(record: Record, path: Path) -> None:
        paths.append(path)
        progress.say(f"recorded in {path}")

    records = run_all(
        source, chosen, settings, seeds=range(seed, seed + seeds), out=out, strict=strict, progress=progress, done=done
    )
    if report:
        from reidbench.cli.report import write

        write(paths, None, plugins_dir or [], quiet=quiet, err=True)
    if as_json:
        typer.echo("[" + ",\n".join(record.model_dump_json(by_alias=True) for record in records) + "]")
    else:
        from reidbench.report.terminal import print_summary

        print_summary(records)
        if strata:
            from reidbench.report.strata import print_strata

            print_strata(records)


def overrides(texts: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping."""
    from reidbench.errors import ReidbenchError

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ReidbenchError(f"--set {text!r}: NAME=VALUE is needed, as in retrieval.epochs=5")
        found[name.strip()] = value.strip()
    return found


def typed_command() -> str:
    """What was typed, for the record."""
    # Folders stay out of the record: they say where on this machine, not what, and a record is made to be shared.
    shown = []
    for argument in sys.argv[1:]:
        path = Path(argument)
        shown.append(path.name if path.is_absolute() else argument)
    return shlex.join(["reidbench", *shown])


def _waiting(text: str, *, quiet: bool):  # type: ignore[no-untyped-def]
    from contextlib import nullcontext

    from rich.console import Console

    console = Console(stderr=True)
    return nullcontext() if quiet or not console.is_terminal else console.status(text)
