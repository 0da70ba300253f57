"""`reidbench report`: one page per record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import Quiet, progress_bar
from reidbench.cli.plugins import PluginsDirs


def report(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders of records.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pages; beside each record by default.")] = None,
    plugins_dir: PluginsDirs = None,
    quiet: Quiet = False,
) -> None:
    """Write the page of a record: figures, ladder, curves, images, provenance. It opens from disk, offline."""
    from reidbench.errors import ReidbenchError
    from reidbench.report.figures.paired.matching import read_kept

    for place in records:
        if not place.exists():
            raise ReidbenchError(f"{place}: no such file or folder")
    if out is not None and out.exists() and not out.is_dir():
        raise ReidbenchError(f"--out {out}: a file of this name exists")
    kept = read_kept(records)
    if not kept:
        raise ReidbenchError(f"no record in {', '.join(map(str, records))}")
    complete = write([one.path for one in kept], out, plugins_dir or [], quiet=quiet)
    raise typer.Exit(0 if complete else 2)


def write(paths: list[Path], out: Path | None, plugins_dir: list[Path], *, quiet: bool, err: bool = False) -> bool:
    """Writes the pages of these records and prints their names; False where a supplement was left out."""
    from reidbench.files import cache_folder
    from reidbench.plugins import Registry
    from reidbench.report.figures.paired.matching import read_kept
    from reidbench.report.figures.supplied import with_supplements
    from reidbench.report.site import write_pages
    from reidbench.studies.example_images import ExampleSource

    examples = ExampleSource(Registry(plugins_dir), cache_folder(), progress_bar(quiet))
    kept, refused = with_supplements(read_kept(paths))
    for line in refused:
        typer.echo(f"left out: {line}", err=True)
    for page in write_pages(kept, out, examples):
        if not (err and quiet):
            typer.echo(str(page), err=err)
    return not refused
