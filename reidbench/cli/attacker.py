"""`reidbench attacker`: bundles of attackers that are trained once and used on any dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import (
    Attackers,
    DatasetName,
    Device,
    Devices,
    Overrides,
    Preset,
    Quiet,
    Root,
    Seed,
    Size,
    Strict,
    progress_bar,
    settings_of,
)
from reidbench.cli.command_text import RecordedCommand, typed_command
from reidbench.cli.plugins import AsJson, PluginsDirs

app = typer.Typer(help="Attackers that are trained once and used on any dataset.", no_args_is_help=True)


@app.command("train", cls=RecordedCommand)
def train(
    out: Annotated[Path, typer.Option(help="New folder for the bundle.")],
    dataset: DatasetName = None,
    root: Root = None,
    preset: Preset = "quick",
    seed: Seed = 0,
    attacker: Attackers = None,
    size: Size = None,
    set_: Overrides = None,
    device: Device = "auto",
    devices: Devices = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; the folder's by default.")] = None,
    summary: Annotated[str, typer.Option(help="One line on the bundle, for its card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the images, for the card.")] = "not stated",
    attribution: Annotated[str, typer.Option(help="Whom the images are of, for the card.")] = "not stated",
    judge_on: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER: another dataset to judge the attackers on; may be given several times."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights in half precision.")] = False,
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train attackers on the train part of a dataset, and write them with their card into a new folder."""
    from reidbench.bundles.write import require_new
    from reidbench.choosing import choose_dataset
    from reidbench.errors import ReidbenchError
    from reidbench.plugins import Registry
    from reidbench.report.text.bundles import as_data, describe
    from reidbench.studies.bundle_training import Labels, train_bundle

    require_new(out)
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
        bundle="none",
    )
    elsewhere = {}
    for text in judge_on or []:
        other, equals, folder = text.partition("=")
        if not equals:
            raise ReidbenchError(f"--judge-on {text!r}: NAME=FOLDER is needed, as in covid19=FOLDER")
        elsewhere[other] = choose_dataset(registry, other, Path(folder), "--judge-on")
    labels = Labels(_card_name(name or out.name), summary, licence, attribution)
    made = train_bundle(
        source,
        settings,
        out,
        labels,
        elsewhere=elsewhere,
        half=half,
        strict=strict,
        progress=progress_bar(quiet),
    )
    typer.echo(json.dumps(as_data(made), indent=1) if as_json else describe(made))


@app.command("list", cls=RecordedCommand)
def list_bundles(
    folder: Annotated[list[Path] | None, typer.Argument(help="Folders of further bundles.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the bundles that come with the package, and those in the given folders."""
    from reidbench.bundles.bundle import find_bundle, read_bundle, shipped_bundles
    from reidbench.report.text.bundles import as_data, table

    found = [read_bundle(find_bundle(text)) for text in [*shipped_bundles(), *map(str, folder or [])]]
    typer.echo(json.dumps([as_data(bundle) for bundle in found], indent=1) if as_json else table(found))


@app.command("describe", cls=RecordedCommand)
def describe_bundle(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a bundle's folder.")],
    as_json: AsJson = False,
) -> None:
    """Show the card of a bundle: training images, recipe, figures, licence and intended use."""
    from reidbench.bundles.bundle import find_bundle, read_bundle
    from reidbench.report.text.bundles import as_data, describe

    found = read_bundle(find_bundle(bundle))
    typer.echo(json.dumps(as_data(found), indent=1) if as_json else describe(found))


@app.command("import", cls=RecordedCommand)
def import_networks(
    file: Annotated[list[Path], typer.Argument(help="One or both of the published files of the 2022 paper's authors.")],
    out: Annotated[Path, typer.Option(help="New folder for the bundle.")],
    name: Annotated[str | None, typer.Option(help="Name of the bundle; the folder's by default.")] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, max=1024, help="Width and height of the images in pixels; 256 or 1024 by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn the networks that the authors of the 2022 paper published into a bundle of the paper preset."""
    from reidbench.report.text.bundles import as_data, describe
    from reidbench.studies.bundle_import import import_authors

    made = import_authors(file, out, name=_card_name(name or out.name), size=size, command=typed_command())
    typer.echo(json.dumps(as_data(made), indent=1) if as_json else describe(made))


def _card_name(text: str) -> str:
    """A bundle's name from what was typed.

    Raises:
        ReidbenchError: it is none.
    """
    import re

    from reidbench.errors import ReidbenchError

    if re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", text) is None:
        raise ReidbenchError(f"--name {text!r}: lower-case letters, digits, _, . and - only, 64 of them at most")
    return text
