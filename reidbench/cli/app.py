"""The commands. Slow imports are left to the command that needs them, so that --help answers at once."""

from __future__ import annotations

import typer

from reidbench.cli import (
    attacker,
    audit,
    compare,
    data,
    explain,
    kit,
    leaderboard,
    overlap,
    plugins,
    release,
    report,
    reproduce,
    run,
    submit,
    sweep,
)
from reidbench.cli.command_text import RecordedCommand

app = typer.Typer(
    name="reidbench",
    help="How well can an attacker still link a patient's images after an anonymization defense, and how much "
    "diagnostic value is left?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Add --debug to any command for a traceback in place of one line.",
)
app.command("run", cls=RecordedCommand)(run.run)
app.command("sweep", cls=RecordedCommand)(sweep.sweep)
app.command("list", cls=RecordedCommand)(plugins.list_plugins)
app.command("describe", cls=RecordedCommand)(plugins.describe)
app.command("new-defense", cls=RecordedCommand)(kit.new_defense)
app.command("check-defense", cls=RecordedCommand)(kit.check_defense)
app.command("new-attacker", cls=RecordedCommand)(kit.new_attacker)
app.command("check-attacker", cls=RecordedCommand)(kit.check_attacker)
app.command("audit", cls=RecordedCommand)(audit.audit)
app.command("release")(release.release)
app.command("overlap", cls=RecordedCommand)(overlap.overlap)
app.command("explain", cls=RecordedCommand)(explain.explain)
app.command("leaderboard", cls=RecordedCommand)(leaderboard.leaderboard)
app.command("report", cls=RecordedCommand)(report.report)
app.command("compare", cls=RecordedCommand)(compare.compare)
app.command("reproduce", cls=RecordedCommand)(reproduce.reproduce)
app.add_typer(attacker.app, name="attacker")
app.add_typer(data.app, name="data")
app.add_typer(submit.app, name="submit")


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Options that stand before the command."""
    if version:
        from reidbench import __version__

        typer.echo(f"reidbench {__version__}")
        raise typer.Exit
