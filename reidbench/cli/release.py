"""`reidbench release`: the files that would be published, under pseudonyms, with a certificate and a private key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidbench.cli.arguments import DatasetName, Device, Quiet, Root, Strict, progress_bar
from reidbench.cli.plugins import AsJson, PluginsDirs


def release(
    defense: Annotated[list[str], typer.Option(help="NAME, NAME:option=value,… or NAME:point; one.")],
    out: Annotated[Path, typer.Option(help="The folder that is given away: images, manifest and certificate.")],
    dataset: DatasetName = None,
    root: Root = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The private key that links back, never to be given away; OUT.key.json by default."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="png, or dicom with a de-identified header.")] = "png",
    patients: Annotated[
        bool, typer.Option("--patients/--no-patients", help="Give patients pseudonyms, or do not tell them.")
    ] = False,
    split: Annotated[str, typer.Option(help="all, train, val or test.")] = "all",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="What the manifest keeps of the table: split, sex, age, view, labels; several times."),
    ] = None,
    record: Annotated[Path | None, typer.Option(help="The benchmark record that the defense was judged by.")] = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Width and height of the images in pixels.")] = 256,
    device: Device = "auto",
    strict: Strict = False,
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write what a defense would publish: images under random names, a manifest, a certificate, and a private key."""
    from reidbench.choosing import choose_dataset, choose_defenses
    from reidbench.cohorts.base import SPLITS
    from reidbench.errors import ReidbenchError
    from reidbench.files import cache_folder, write_file
    from reidbench.harness.environment import choose_device
    from reidbench.plugins import Registry
    from reidbench.records.store import read_record
    from reidbench.report.figures.summary import worst_retrieval, worst_verification
    from reidbench.report.text.certificate import certificate_page
    from reidbench.studies.release import publish
    from reidbench.studies.release_certificate import CERTIFICATE, PAGE

    if format_ not in ("png", "dicom"):
        raise ReidbenchError(f"--format {format_}: known are png and dicom")
    if split != "all" and split not in SPLITS:
        raise ReidbenchError(f"--split {split}: known are all, {', '.join(SPLITS)}")
    registry = Registry(plugins_dir or ())
    chosen = choose_defenses(registry, defense)
    if len(chosen) != 1:
        named = " ".join(f"--defense {one}" for one in defense)
        raise ReidbenchError(f"{named}: a release has one operating point, and these are {len(chosen)}")
    progress = progress_bar(quiet)
    judged = read_record(record) if record is not None else None
    strongest = [find(judged) if judged is not None else None for find in (worst_verification, worst_retrieval)]
    auc, map_at_r = (worst.value if worst is not None else None for worst in strongest)
    place = out if out.name not in ("", "..") else out.resolve()
    key_path = key or place.with_name(f"{place.name}.key.json")
    certificate = publish(
        choose_dataset(registry, dataset, root),
        chosen[0],
        out=out,
        key_path=key_path,
        size=size,
        cache=cache_folder(),
        device=choose_device(device),
        form="dicom" if format_ == "dicom" else "png",
        patients=patients,
        split=None if split == "all" else split,
        keep=keep or [],
        record=judged,
        strongest=(auc, map_at_r),
        strict=strict,
        progress=progress,
    )
    write_file(out / PAGE, certificate_page(certificate))
    progress.say(f"released: {certificate['images']:,} images in {out}; the private key is {key_path}")
    if as_json:
        typer.echo(json.dumps(certificate, indent=1))
    else:
        typer.echo(f"{out / CERTIFICATE}")
