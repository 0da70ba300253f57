"""`reidbench audit`: how well patients of an undefended dataset can be re-identified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidbench.cli.arguments import (
    Attackers,
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
    require_folder,
    settings_of,
)
from reidbench.cli.plugins import AsJson, PluginsDirs

if TYPE_CHECKING:
    from reidbench.cohorts.base import Dataset
    from reidbench.plugins import Registry
    from reidbench.progress import Progress
    from reidbench.settings import Settings


def audit(
    dataset: DatasetName = None,
    root: Root = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Evaluate every patient by cross-validation with this number of folds, one training each. Without it "
            "the attackers of a bundle judge every patient as they are, and others the patients of the test split."
        ),
    ] = None,
    preset: Preset = "quick",
    seed: Seed = 0,
    attacker: Attackers = None,
    attackers: Bundle = None,
    leave_out_known: LeaveOut = False,
    size: Size = None,
    set_: Overrides = None,
    device: Device = "auto",
    bands: Annotated[
        bool,
        typer.Option(
            "--bands",
            help="Also attack parts of the images (octaves of spatial frequency, border, centre), each alone and all "
            "without it: 13 trainings, for each fold.",
        ),
    ] = False,
    released: Annotated[
        Path | None,
        typer.Option(help="Attack exactly the files of this release, on every rung; --dataset gives its originals."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The private key of --released.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for patients.csv, audit.md, audit.json and, with --bands, bands.svg.")
    ] = Path("audit"),
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack a dataset without a defense, and report how well the images of each test patient can be linked."""
    from reidbench.choosing import choose_dataset
    from reidbench.errors import ReidbenchError
    from reidbench.files import write_pages
    from reidbench.plugins import Registry
    from reidbench.report.pictures.bands_svg import draw_bands
    from reidbench.report.text.audit import as_csv, as_data, as_markdown, print_audit
    from reidbench.report.text.audit_bands import PLOT
    from reidbench.studies.audit import audit as run_audit

    require_folder(out)
    registry = Registry(plugins_dir or ())
    source = choose_dataset(registry, dataset, root)
    settings = settings_of(
        registry,
        attackers=attacker,
        preset=preset,
        seed=seed,
        size=size,
        set_=set_,
        device=device,
        generated=source.generated,
        bundle=attackers,
        leave_out=leave_out_known,
    )
    progress = progress_bar(quiet)
    if released is not None or key is not None:
        if bands:
            raise ReidbenchError("--bands: parts of originals are attacked, not a release; leave one of them out")
        _audit_released(released, key, folds, registry, source, settings, strict, progress, out, as_json=as_json)
        return
    found = run_audit(source, settings, folds=folds, strict=strict, bands=bands, progress=progress)
    data = json.dumps(as_data(found), indent=1)
    pages = {"patients.csv": as_csv(found), "audit.md": as_markdown(found), "audit.json": data + "\n"}
    if found.bands is not None:
        pages[PLOT] = draw_bands(found.bands)
    for path in write_pages(pages, out):
        progress.say(f"written: {path}")
    if as_json:
        typer.echo(data)
    else:
        print_audit(found)


def _audit_released(
    released: Path | None,
    key: Path | None,
    folds: int | None,
    registry: Registry,
    source: Dataset,
    settings: Settings,
    strict: bool,
    progress: Progress,
    out: Path,
    *,
    as_json: bool,
) -> None:
    from reidbench.choosing import choose_defenses
    from reidbench.errors import ReidbenchError
    from reidbench.report.text.terminal import print_summary
    from reidbench.studies.release_key import read_key
    from reidbench.studies.released import audit_released

    if released is None or key is None:
        raise ReidbenchError("--released FOLDER and --key KEY belong together")
    if folds is not None:
        raise ReidbenchError("--folds: a release is judged on its test split")
    made_by = read_key(key)
    [chosen] = choose_defenses(registry, [f"{made_by.defense}:{json.dumps(dict(made_by.options))}"])
    record, path = audit_released(source, released, key, chosen, settings, strict=strict, progress=progress, out=out)
    progress.say(f"recorded in {path}")
    if as_json:
        typer.echo(record.model_dump_json(by_alias=True))
    else:
        print_summary([record])
