"""`reidbench submit`: recomputes the figures of records from their scores, and upgrades older records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import Quiet, progress_bar
from reidbench.cli.command_text import RecordedCommand
from reidbench.cli.plugins import AsJson

app = typer.Typer(help="Records for a leaderboard.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def submit() -> None:
    """Records for a leaderboard."""


@app.command("check", cls=RecordedCommand)
def check(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders of records, with the scores beside them.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recompute the figures of records from their scores.

    Exit 0: all agree; 1: at least one disagrees; 2: none disagrees, but at least one could not be checked.
    """
    from reidbench.report.figures.submission import check_submissions, exit_code, find_records, summary

    results = []
    for result in check_submissions(find_records(records), progress_bar(quiet)):
        results.append(result)
        if not as_json:
            typer.echo(result.to_text())
    typer.echo(json.dumps([result.to_json() for result in results], indent=1) if as_json else summary(results))
    raise typer.Exit(exit_code(results))


@app.command("upgrade", cls=RecordedCommand)
def upgrade(
    records: Annotated[list[Path], typer.Argument(help="Records, or folders of them.")],
) -> None:
    """Rewrite records of older versions in the newest form.

    Figures, names and scores stay the same. Every record is read before the first is written.
    """
    from reidbench.records.store import read_record, record_paths, upgrade_record

    paths = record_paths(records)
    for path in paths:
        read_record(path)
    rewritten = sum(map(upgrade_record, paths))
    typer.echo(f"{rewritten} of {len(paths)} records were rewritten, {len(paths) - rewritten} are of the newest form")
