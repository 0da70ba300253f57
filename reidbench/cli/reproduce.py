"""`reidbench reproduce`: tables and figures of the 2022 paper on the user's copy of the data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import (
    Bundle,
    Device,
    LeaveOut,
    Overrides,
    Preset,
    Quiet,
    Seed,
    Size,
    progress_bar,
    require_folder,
    settings_of,
)
from reidbench.cli.plugins import AsJson, PluginsDirs


def reproduce(
    what: Annotated[str, typer.Argument(help="table1, table2, table3, table4, fig2, fig3, fig4 or fig6.")],
    root: Annotated[Path | None, typer.Option(help="The folder of ChestX-ray14 (or of --dataset).")] = None,
    root_chexpert: Annotated[Path | None, typer.Option(help="The folder of CheXpert, for table2 and table3.")] = None,
    root_covid: Annotated[
        Path | None, typer.Option(help="The folder of the COVID-19 Image Data Collection, for table2 and table3.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Dataset to train on instead of the paper's.")] = "chestxray14",
    limit: Annotated[int | None, typer.Option(help="Use at most this number of patients of each split.")] = None,
    foreign_material: Annotated[
        Path | None,
        typer.Option(help="CSV with image_id and foreign_material (0 or 1), for table2, table4 and fig4."),
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="File of test pairs, in the format of the authors' own.")] = None,
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    preset: Preset = "quick",
    size: Size = None,
    seed: Seed = 0,
    set_: Overrides = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the Markdown, the plots and the maps.")] = Path("reproductions"),
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compute a table or figure of Packhäuser et al. (2022) on your copy of the data and show both side by side."""
    from reidbench.choosing import choose_dataset
    from reidbench.plugins import Registry
    from reidbench.report.text.reproduce import as_data, markdown, write
    from reidbench.studies.paper.data import Copies
    from reidbench.studies.paper.study import Study
    from reidbench.studies.paper.tables import plan_of
    from reidbench.studies.paper.tables import reproduce as make

    plan = plan_of(what)
    require_folder(out)
    registry = Registry(plugins_dir or ())
    source = choose_dataset(registry, dataset, root)
    settings = settings_of(
        registry,
        attackers=[plan.task],
        preset=preset,
        seed=seed,
        size=size,
        set_=set_,
        device=device,
        generated=source.generated,
        bundle=attackers,
        leave_out=leave_out_known,
        pairs=pairs,
    )
    if "pairs_per_patient" not in settings.overrides:
        settings = replace(settings, pairs_per_patient=None)  # As in the study, whatever the preset.
    roots = {"chexpert": root_chexpert, "covid19": root_covid}
    elsewhere = {name: choose_dataset(registry, name, place) if place else None for name, place in roots.items()}
    copies = Copies(source, elsewhere, limit, foreign_material)
    made = make(what, Study(copies, settings, progress_bar(quiet)))
    paths = write(made, settings, out)
    typer.echo(json.dumps(as_data(made, settings), indent=1) if as_json else markdown(made, settings).rstrip())
    for path in paths:
        typer.echo(str(path), err=True)
