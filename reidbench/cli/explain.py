"""`reidbench explain`: attention maps of an attacker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import (
    Bundle,
    DatasetName,
    Device,
    LeaveOut,
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
from reidbench.cli.plugins import AsJson, PluginsDirs


def explain(
    defense: Annotated[
        str | None, typer.Option(help="NAME, NAME:option=value,… or NAME:point; by default only originals are drawn.")
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            help="IMAGE_A,IMAGE_B of the test split; by default one recognized, one missed, one falsely matched."
        ),
    ] = None,
    dataset: DatasetName = None,
    root: Root = None,
    attacker: Annotated[str, typer.Option(help="A siamese attacker.")] = "verification",
    ignorant_only: Annotated[
        bool, typer.Option("--ignorant-only", help="Leave out the attacker that was trained against the defense.")
    ] = False,
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    preset: Preset = "quick",
    seed: Seed = 0,
    size: Size = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Annotated[
        Path, typer.Option(help="Picture to write: a PNG, or a much smaller WebP if the name ends in .webp.")
    ] = Path("attention.png"),
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw siamese Grad-CAM maps of pairs before and after a defense, at the first and a middle layer."""
    from reidbench.choosing import choose_dataset, choose_defenses
    from reidbench.errors import ReidbenchError
    from reidbench.plugins import Registry
    from reidbench.report.pictures.attention import as_data, as_text, draw_attention
    from reidbench.studies.explain import explain as look

    if out.is_dir():
        raise ReidbenchError(f"--out {out}: a folder of this name exists; give the name of a picture")
    names = None
    if pair is not None:
        first, _, second = pair.partition(",")
        if not first.strip() or not second.strip():
            raise ReidbenchError(f"--pair {pair!r}: give two image names separated by a comma")
        names = first.strip(), second.strip()
    registry = Registry(plugins_dir or ())
    source = choose_dataset(registry, dataset, root)
    settings = settings_of(
        registry,
        attackers=[attacker],
        preset=preset,
        seed=seed,
        size=size,
        set_=set_,
        device=device,
        generated=source.generated,
        bundle=attackers,
        leave_out=leave_out_known,
    )
    chosen = choose_defenses(registry, [defense] if defense else [])
    if len(chosen) > 1:
        raise ReidbenchError(f"{defense}: give one set of options, as in {chosen[0].defense.name}:option=value")
    progress = progress_bar(quiet)
    explained = look(
        source,
        chosen[0] if chosen else None,
        settings,
        pair=names,
        informed=not ignorant_only,
        strict=strict,
        progress=progress,
    )
    draw_attention(explained, out)
    progress.say(f"written: {out}")
    typer.echo(json.dumps(as_data(explained), indent=1) if as_json else as_text(explained))
