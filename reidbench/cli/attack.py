"""`reidbench attack`: one more attacker against a recorded release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import (
    Bundle,
    DatasetName,
    Device,
    Overrides,
    Quiet,
    Root,
    Strict,
    overrides,
    progress_bar,
    require_folder,
)
from reidbench.cli.plugins import AsJson, PluginsDirs


def attack(
    record: Annotated[Path, typer.Argument(help="The record of the release. It stays as it is.")],
    attacker: Annotated[str, typer.Option(help="The attacker: a built-in one or a plugin.")],
    dataset: DatasetName = None,
    root: Root = None,
    attackers: Bundle = None,
    rung: Annotated[
        list[str] | None,
        typer.Option(help="Only these rungs, such as informed or ignorant/original-released; by default the record's."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="File of test pairs, for a record that was made with one: the same file.")
    ] = None,
    set_: Overrides = None,
    device: Device = "auto",
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run one more attacker against the release of a record, and write a supplement beside it.

    Dataset (unless it is named), defense, options and seed are those of the record. Exit 2 if the release cannot be
    made again as it was.
    """
    from reidbench.choosing import choose_dataset
    from reidbench.cli.command_text import typed_command
    from reidbench.files import cache_folder
    from reidbench.harness.environment import choose_device
    from reidbench.plugins import Registry
    from reidbench.records.supplements.files import read_supplement
    from reidbench.report.text.supplement import supplement_text
    from reidbench.studies.attack import attack_record, read_target, recorded_dataset, settings_for

    target = read_target(record)
    require_folder(record.parent)
    registry = Registry(plugins_dir or ())
    named = dataset is not None
    source = choose_dataset(registry, dataset, root) if named else recorded_dataset(target, registry, root)
    settings = settings_for(
        target,
        registry,
        attacker=attacker,
        overrides=overrides(set_ or []),
        rungs=rung or [],
        bundle=attackers,
        pairs=pairs,
        device=choose_device(device),
        cache=cache_folder(),
        command=typed_command(),
    )
    progress = progress_bar(quiet)
    path = attack_record(target, source, registry, settings, strict=strict, progress=progress)
    progress.say(f"written: {path}")
    made = read_supplement(path)
    typer.echo(made.model_dump_json(by_alias=True) if as_json else supplement_text(target.record, made, path))
