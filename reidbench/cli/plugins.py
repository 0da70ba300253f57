"""`reidbench list` and `reidbench describe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

PluginsDirs = Annotated[
    list[Path] | None,
    typer.Option("--plugins-dir", help="Folder of plugin files (*.py), whose code is run; may be given several times."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="defense, dataset or attacker; all kinds by default.")] = None,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
) -> None:
    """List defenses (by family), datasets, attackers. Installed ones are not imported; --plugins-dir files are run."""
    from reidbench.errors import ReidbenchError, did_you_mean
    from reidbench.plugins import FAMILIES, GROUPS, OTHER, Registry

    if kind is not None:
        singular = kind.removesuffix("s")
        if singular not in GROUPS:
            raise ReidbenchError(f"unknown kind {kind!r}: {did_you_mean(kind, GROUPS)}")
        kind = singular
    registry = Registry(plugins_dir or ())
    rows = registry.found(kind)
    families = {row.name: registry.family(row) for row in rows if row.kind == "defense"}
    if as_json:
        found = [vars(row) | ({"family": families[row.name]} if row.kind == "defense" else {}) for row in rows]
        typer.echo(json.dumps({"plugins": found, "broken": registry.broken}, indent=1))
        return
    order = list(dict.fromkeys([*FAMILIES, *sorted(set(families.values()) - {OTHER}), OTHER]))
    rows.sort(key=lambda row: order.index(families[row.name]) if row.kind == "defense" else len(order))
    for row in rows:
        family = f"{families[row.name]:<12} " if row.kind == "defense" else ""
        typer.echo(f"{row.kind:<9} {row.name:<22} {family}{row.distribution} {row.version}")
    for message in registry.broken.values():
        typer.echo(f"broken    {message}", err=True)


def describe(
    name: Annotated[str, typer.Argument(help="The name of a defense, dataset or attacker.")],
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
) -> None:
    """Show a plugin's summary, source, options with bounds and defaults, and operating points."""
    from reidbench.errors import ReidbenchError, did_you_mean
    from reidbench.plugins import Registry
    from reidbench.report.text.describe import as_data, as_text

    registry = Registry(plugins_dir or ())
    rows = [row for row in registry.found() if row.name == name]
    if not rows:
        if name in registry.broken:
            raise ReidbenchError(registry.broken[name])
        raise ReidbenchError(f"unknown plugin {name!r}: {did_you_mean(name, [r.name for r in registry.found()])}")
    for row in rows:
        cls = registry.get(row.kind, row.name)
        typer.echo(json.dumps(as_data(row, cls), indent=1) if as_json else as_text(row, cls))
