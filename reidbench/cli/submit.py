"""`reidbench submit check`: is a record what its scores say?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import Quiet, progress_bar
from reidbench.cli.plugins import AsJson

app = typer.Typer(help="Records for a leaderboard.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def submit() -> None:
    """Records for a leaderboard."""


@app.command("check")
def check(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders of them, with the scores beside them.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compute a record's figures again from its scores: exit 0 where they agree, 1 where a field was edited, 2 else."""
    from reidbench.errors import ReidbenchError
    from reidbench.report.matching import read_kept
    from reidbench.report.submission import check_submission

    for place in records:
        if not place.exists():
            raise ReidbenchError(f"{place}: no such file or folder")
    kept = read_kept(records)
    if not kept:
        raise ReidbenchError(f"no record in {', '.join(map(str, records))}")
    progress = progress_bar(quiet)
    results = []
    for one in kept:
        progress.say(str(one.path))
        results.append((one, check_submission(one, progress)))
    if as_json:
        typer.echo(json.dumps([result.to_json(one.path) for one, result in results], indent=1))
    else:
        for one, result in results:
            typer.echo(result.to_text(one.path))
    raise typer.Exit(1 if any(result.mismatches for _, result in results) else 0)
