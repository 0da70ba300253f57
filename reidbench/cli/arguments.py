"""Options that several commands take, and the settings they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reidbench.harness.settings import Settings
    from reidbench.plugins import Registry
    from reidbench.progress import Progress

DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="NAME or NAME:option=value,…; the built-in phantom if left out.")
]
Root = Annotated[Path | None, typer.Option(help="The folder of the dataset.")]
Preset = Annotated[str, typer.Option(help="quick, standard or paper.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of training and release.")]
Size = Annotated[int | None, typer.Option(help="Width and height of the images in pixels.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE over the preset, as retrieval.epochs=5.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a dataset with unreadable images.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notices.")]


def progress_bar(quiet: bool) -> Progress:
    """What shows progress: nothing if ``quiet``."""
    from reidbench.cli.console import Terminal
    from reidbench.progress import Silent

    return Silent() if quiet else Terminal()


def settings_of(
    registry: Registry,
    *,
    attackers: list[str] | None,
    preset: str,
    seed: int,
    size: int | None,
    set_: list[str] | None,
    device: str,
) -> Settings:
    """Settings from what was typed, all of it checked; the default attackers where none is named."""
    from reidbench.cli.run import overrides, typed_command
    from reidbench.harness.environment import cache_folder, choose_device
    from reidbench.harness.settings import DEFAULT_ATTACKERS, make_settings

    return make_settings(
        registry,
        preset=preset,
        device=choose_device(device),
        cache=cache_folder(),
        attackers=tuple(attackers or DEFAULT_ATTACKERS),
        overrides=overrides(set_ or []),
        size=size,
        seed=seed,
        command=typed_command(),
    )


def require_folder(out: Path) -> None:
    """Refuses an output folder whose name a file has.

    Raises:
        ReidbenchError: it is no folder.
    """
    from reidbench.errors import ReidbenchError

    if out.exists() and not out.is_dir():
        raise ReidbenchError(f"--out {out}: a file of this name is in the way")
