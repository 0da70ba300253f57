"""`reidbench leaderboard`: pages from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    records: Annotated[
        list[Path] | None, typer.Argument(help="Records, or folders of them; leaderboards/records if left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pages.")] = Path("leaderboards"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where a page differs.")] = False,
) -> None:
    """Write <dataset>.md, .csv and .svg (the privacy–utility curve) from records, the worst case first."""
    from reidbench.errors import ReidbenchError
    from reidbench.harness.record import read_records
    from reidbench.report.leaderboard import render, write

    places = records or [Path("leaderboards/records")]
    for place in places:
        if not place.exists():
            raise ReidbenchError(f"{place}: no such file or folder")
    pages = render(read_records(places))
    if not pages:
        raise ReidbenchError(f"no record in {', '.join(map(str, places))}")
    if check:
        stale = [
            name
            for name, text in pages.items()
            if not (out / name).is_file() or (out / name).read_text("utf-8") != text
        ]
        for name in stale:
            typer.echo(f"{out / name} is not what the records say; run reidbench leaderboard", err=True)
        raise typer.Exit(1 if stale else 0)
    for path in write(pages, out):
        typer.echo(str(path))
