"""`reidbench data check`: the contents of a dataset, and problems with its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import Quiet, progress_bar
from reidbench.cli.command_text import RecordedCommand
from reidbench.cli.plugins import AsJson, PluginsDirs

app = typer.Typer(help="Inspect datasets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check", cls=RecordedCommand)
def check(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME:option=value,…")],
    root: Annotated[Path | None, typer.Option(help="The folder of the dataset.")] = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Width and height of the decoded images in pixels.")] = 64,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet to this PNG.")] = None,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Report images, patients, follow-ups, findings, unreadable files and duplicates of a dataset."""
    from reidbench.choosing import choose_dataset
    from reidbench.cohorts.check import check_dataset
    from reidbench.files import cache_folder
    from reidbench.plugins import Registry

    source = choose_dataset(Registry(plugins_dir or ()), dataset, root)
    report = check_dataset(source, size=size, cache=cache_folder(), progress=progress_bar(quiet))
    if sheet is not None:
        report.contact_sheet(sheet)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
