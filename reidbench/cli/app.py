"""The commands. Slow imports are left to the command that needs them, so that --help answers at once."""

from __future__ import annotations

from collections.abc import Callable

import typer

from reidbench.cli import (
    attack,
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
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "sweep": sweep.sweep,
    "list": plugins.list_plugins,
    "describe": plugins.describe,
    "new-defense": kit.new_defense,
    "check-defense": kit.check_defense,
    "new-attacker": kit.new_attacker,
    "check-attacker": kit.check_attacker,
    "attack": attack.attack,
    "audit": audit.audit,
    "release": release.release,
    "overlap": overlap.overlap,
    "explain": explain.explain,
    "leaderboard": leaderboard.leaderboard,
    "report": report.report,
    "compare": compare.compare,
    "reproduce": reproduce.reproduce,
}
for name, command in COMMANDS.items():
    app.command(name, cls=RecordedCommand)(command)
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
