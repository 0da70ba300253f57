"""Options that several commands share, and the settings made from them."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reidbench.plugins import Registry
    from reidbench.progress import Progress
    from reidbench.records.ladder import Rung
    from reidbench.settings import Settings

DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="NAME or NAME:option=value,…; the built-in phantom by default.")
]
Root = Annotated[Path | None, typer.Option(help="The folder of the dataset.")]
Attackers = Annotated[
    list[str] | None,
    typer.Option("--attacker", help="Attackers instead of verification and retrieval."),
]
Bundle = Annotated[
    str | None,
    typer.Option(
        "--attackers",
        help="Attackers trained before, to start from: a shipped bundle, a bundle's folder, or none. By default quick "
        "runs on real patients start from the bundle of public X-rays.",
    ),
]
LeaveOut = Annotated[
    bool,
    typer.Option("--leave-out-known", help="Leave out test images that the bundle of attackers was trained on."),
]
KeepFindings = Annotated[
    bool,
    typer.Option(
        "--keep-findings",
        help="Keep the findings of real patients' images in the scores beside the records, so that others can check "
        "the utility. Generated patients' are always kept.",
    ),
]
Preset = Annotated[str, typer.Option(help="Sizes and budgets: quick, standard or paper.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of training, release and sampling.")]
Size = Annotated[int | None, typer.Option(help="Width and height of the images in pixels.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE, replaces a value of the preset: retrieval.epochs=5."),
]
Device = Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, cuda:1 …")]
Devices = Annotated[
    int | None, typer.Option(min=1, help="Number of GPUs, or of CPU processes, that train one attacker together (DDP).")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a dataset with unreadable images.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notices.")]


def progress_bar(quiet: bool) -> Progress:
    """Progress on the terminal, or none if ``quiet``."""
    if quiet:
        from reidbench.progress import Silent

        return Silent()
    from reidbench.cli.console import Terminal

    return Terminal()


def settings_of(
    registry: Registry,
    *,
    attackers: list[str] | None,
    preset: str,
    seed: int,
    size: int | None,
    set_: list[str] | None,
    device: str,
    generated: bool,
    bundle: str | None = None,
    leave_out: bool = False,
    keep_findings: bool = False,
    ladder: tuple[Rung, ...] | None = None,
    pairs: Path | None = None,
    devices: int | None = None,
) -> Settings:
    """Checked settings from command-line options; the default attackers if none is named, and every rung.

    Args:
        generated: whether the patients of the dataset are generated: it decides the default bundle.
        bundle: as ``--attackers`` has it.
    """
    from reidbench.cli.command_text import typed_command
    from reidbench.files import cache_folder
    from reidbench.harness.environment import choose_device
    from reidbench.records.ladder import DEFAULT_ATTACKERS
    from reidbench.settings import choose_bundle, make_settings

    chosen, changed = tuple(attackers or DEFAULT_ATTACKERS), overrides(set_ or [])
    return make_settings(
        registry,
        preset=preset,
        device=choose_device(device),
        cache=cache_folder(),
        attackers=chosen,
        overrides=changed,
        size=size,
        bundle=choose_bundle(
            bundle, generated=generated, preset=preset, attackers=chosen, overrides=changed, size=size
        ),
        leave_out=leave_out,
        keep_findings=keep_findings,
        ladder=ladder,
        pair_list=pairs,
        seed=seed,
        devices=devices,
        command=typed_command(),
    )


def require_folder(out: Path) -> None:
    """Fails early if the output folder is not writable, by writing a temporary file into it.

    A folder that does not exist is created for the trial and removed again, so that a run refused later leaves nothing.

    Raises:
        ReidbenchError: it is not a folder, or not writable.
    """
    from reidbench.errors import ReidbenchError

    try:
        if out.exists() and not out.is_dir():
            raise ReidbenchError(f"--out {out}: a file of this name exists")
        missing = [folder for folder in (out, *out.parents) if not folder.exists()]
        _try_folder(out, missing)
    except OSError as error:
        raise ReidbenchError(f"--out {out}: cannot be written: {error.strerror}") from error


def _try_folder(out: Path, missing: list[Path], again: int = 20) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".reidbench-"):
            pass
        with suppress(OSError):
            # Another run may have written into it in the meantime.
            for folder in missing:
                folder.rmdir()
    except FileNotFoundError:
        # The jobs of an array start together, and another one has just removed the folder of its trial.
        if not again:
            raise
        time.sleep(0.05)
        _try_folder(out, missing, again - 1)


def overrides(texts: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping."""
    from reidbench.errors import ReidbenchError

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ReidbenchError(f"--set {text!r}: NAME=VALUE is needed, as in retrieval.epochs=5")
        found[name.strip()] = value.strip()
    return found
