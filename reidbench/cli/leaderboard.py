"""`reidbench leaderboard`: pages from records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import Quiet, progress_bar
from reidbench.cli.plugins import PluginsDirs

#: The exit status where a supplement was left out: as of a submission that cannot be checked.
LEFT_OUT = 2


def leaderboard(
    records: Annotated[
        list[Path] | None, typer.Argument(help="Records, or folders of records; leaderboards/records by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pages.")] = Path("leaderboards"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a page differs.")] = False,
    site: Annotated[
        Path | None, typer.Option(help="Write a static site into this folder instead of the other pages.")
    ] = None,
    agree: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="BOARD BOARD",
            help="Write nothing; print how alike two boards (phantom chestxray14) order the defenses on both.",
        ),
    ] = None,
    plugins_dir: PluginsDirs = None,
    quiet: Quiet = False,
) -> None:
    """Write <dataset>.md, .csv and .svg (the privacy–utility curve) from records, or a site that opens from disk.

    Supplements beside the records (`reidbench attack`) count too. One that does not fit its record is named and left
    out, and the exit status is 2.
    """
    from reidbench.errors import ReidbenchError
    from reidbench.report.figures.board.ranks import read_influences
    from reidbench.report.figures.board.reading import read_for_boards
    from reidbench.report.figures.paired.drops import paired_drops
    from reidbench.report.figures.supplied import with_supplements
    from reidbench.report.text.board.agreement import agreement_text
    from reidbench.report.text.board.files import leftover, write
    from reidbench.report.text.leaderboard import render, tables

    places = records or [Path("leaderboards/records")]
    for place in places:
        if not place.exists():
            raise ReidbenchError(f"{place}: no such file or folder")
    if agree is not None and (check or site is not None):
        raise ReidbenchError("--agree writes no page: it excludes --check and --site")
    if site is not None:
        if check:
            raise ReidbenchError("--site and --check exclude each other: a site cannot be checked")
        _write_site(places, site, plugins_dir or [], quiet=quiet)
        return
    kept, refused = with_supplements(read_for_boards(places), places, brief=True)
    for line in refused:
        typer.echo(f"left out: {line}", err=True)
    if agree is not None:
        typer.echo(agreement_text(tables([one.record for one in kept]), *agree))
        raise typer.Exit(LEFT_OUT if refused else 0)
    links = {one.record.id: Path(os.path.relpath(one.path, out)).as_posix() for one in kept}
    pages = render([one.record for one in kept], paired_drops(kept, progress_bar(quiet)), links, read_influences(kept))
    if not pages:
        raise ReidbenchError(f"no record in {', '.join(map(str, places))}")
    if check:
        stale = [
            name
            for name, text in pages.items()
            if not (out / name).is_file() or (out / name).read_text("utf-8") != text
        ]
        for name in stale:
            typer.echo(f"{out / name} differs from what the records give; run reidbench leaderboard", err=True)
        left = leftover(out, pages)
        for path in left:
            typer.echo(f"{path} belongs to none of these records", err=True)
        raise typer.Exit(1 if stale or left else LEFT_OUT if refused else 0)
    for path in write(pages, out):
        typer.echo(str(path))
    raise typer.Exit(LEFT_OUT if refused else 0)


def _write_site(places: list[Path], site: Path, plugins_dir: list[Path], *, quiet: bool) -> None:
    from reidbench.errors import ReidbenchError
    from reidbench.files import cache_folder
    from reidbench.plugins import Registry
    from reidbench.report.figures.board.reading import read_for_boards
    from reidbench.report.figures.supplied import with_supplements
    from reidbench.report.site import write_site
    from reidbench.studies.example_images import ExampleSource

    if site.exists() and not site.is_dir():
        raise ReidbenchError(f"--site {site}: a file of this name exists")
    kept, refused = with_supplements(read_for_boards(places), places, brief=True)
    for line in refused:
        typer.echo(f"left out: {line}", err=True)
    if not kept:
        raise ReidbenchError(f"no record in {', '.join(map(str, places))}")
    progress = progress_bar(quiet)
    examples = ExampleSource(Registry(plugins_dir), cache_folder(), progress)
    written = write_site(kept, site, examples, progress)
    typer.echo(f"{written[0]} and {len(written) - 1} more pages")
    raise typer.Exit(LEFT_OUT if refused else 0)
