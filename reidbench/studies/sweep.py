"""Many runs: defenses × options × seeds × presets. What is recorded is skipped, and what fails stops nothing else.

What all defenses of a preset and seed share (the cohort, the attackers trained on originals, the undefended run) is
made here, once. Each defense then runs in a process of its own, so that one which hangs, crashes or eats the memory
breaks only itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock

from reidbench.choosing import dataset_options
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.model import ModelDefense
from reidbench.errors import PluginError
from reidbench.files import private_folder
from reidbench.harness.experiment import Experiment
from reidbench.harness.isolated import run_apart
from reidbench.harness.run import record_run, subject_of, subject_path, undefended_images
from reidbench.progress import Progress
from reidbench.records.schema import Record
from reidbench.records.store import read_named
from reidbench.studies.sweep_plan import Cell, Prepared, SweepPlan

State = Literal["recorded", "known", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        label: the defense as it was asked for.
        preset, seed: of the run.
        state: ``recorded`` just now, ``known`` before, or ``failed``.
        record: None for a failed one.
        reason: why it failed, in a line.
    """

    label: str
    preset: str
    seed: int
    state: State
    record: Record | None = None
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """Where a sweep runs, and with which plugins."""

    out: Path
    cache: Path
    device: torch.device
    plugins_dirs: Sequence[Path] = field(default=())
    strict: bool = False
    quiet: bool = False


def sweep(plan: SweepPlan, prepared: Prepared, place: Place, progress: Progress) -> Iterator[Outcome]:
    """Runs the cells of a plan; gives each outcome as soon as it is known, the undefended runs among them.

    Args:
        prepared: the plan's cells, or some of them. A plugin that is broken counts as a failed run.

    Raises:
        ReidbenchError: the dataset cannot be loaded, or does not suit the plan.
    """
    yield from broken_outcomes(prepared)
    for cells in prepared.groups():
        one = cells[0].settings
        cohort = load_cohort(prepared.source, size=one.size, cache=place.cache, strict=place.strict, progress=progress)
        experiment = Experiment(cohort, dataset_options(prepared.source), one, progress)
        if any(not isinstance(cell.choice.defense, ModelDefense) for cell in cells):
            yield _undefended(experiment, place, progress)
        models: set[Path] = set()
        for position, cell in enumerate(cells, 1):
            progress.say(f"{position} of {len(cells)}: {cell.label}, preset {one.preset}, seed {one.seed}")
            yield from _run(experiment, cell, plan, place, progress, models)


def broken_outcomes(prepared: Prepared) -> list[Outcome]:
    """The defenses whose plugins cannot be used."""
    return [Outcome(text, "", 0, "failed", reason=reason) for text, reason in prepared.broken.items()]


def run_arguments(plan: SweepPlan, cell: Cell) -> list[str]:
    """The command line that makes a cell's record, behind ``reidbench``, without where it runs."""
    options = json.dumps(cell.choice.defense.model_dump(mode="json"))
    found = ["run", f"--defense={cell.choice.defense.name}:{options}", *plan.arguments()]
    return [*found, f"--preset={cell.settings.preset}", f"--seed={cell.settings.seed}"]


def _undefended(experiment: Experiment, place: Place, progress: Progress) -> Outcome:
    settings = experiment.settings
    subject = undefended_images(experiment)
    path = subject_path(subject, place.out)
    # The jobs of an array start together: one judges, and the others find its record.
    with FileLock(private_folder(place.cache / "records") / f"{path.stem}.lock"):
        state: State = "known" if path.exists() else "recorded"
        progress.say(f"undefended, preset {settings.preset}, seed {settings.seed}")
        record, _ = record_run(subject, None, place.out)
    return Outcome("undefended", settings.preset, settings.seed, state, record)


def _run(
    experiment: Experiment, cell: Cell, plan: SweepPlan, place: Place, progress: Progress, models: set[Path]
) -> Iterator[Outcome]:
    """One defense, after the undefended model that it is compared with if it publishes one.

    Args:
        models: the records of undefended models that were told of.
    """
    settings, label, defense = cell.settings, cell.label, cell.choice.defense
    try:
        subject = subject_of(experiment, cell.choice)
    except PluginError as error:
        yield Outcome(label, settings.preset, settings.seed, "failed", reason=str(error))
        return
    path = subject_path(subject, place.out)
    # A model's undefended run takes the plugin's code too, and is made in the defense's own process.
    undefended = subject.undefended if isinstance(defense, ModelDefense) else None
    plain = subject_path(undefended, place.out) if undefended else None
    before: State = "known" if plain is not None and plain.exists() else "recorded"
    reason = ""
    state: State = "known"
    if not path.exists():
        ended = run_apart([*run_arguments(plan, cell), *_where(place)], timeout=plan.timeout, say=progress.say)
        state = "recorded"
        if ended.code != 0 or not path.exists():
            reason = ended.reason or f"it wrote no {path.name}: its plugin or reidbench changed in the meantime"
    if undefended is not None and plain is not None and plain.exists() and plain not in models:
        models.add(plain)
        yield Outcome(undefended.label, settings.preset, settings.seed, before, read_named(plain))
    if reason:
        yield Outcome(label, settings.preset, settings.seed, "failed", reason=reason)
    else:
        yield Outcome(label, settings.preset, settings.seed, state, read_named(path))


def _where(place: Place) -> list[str]:
    found = [f"--plugins-dir={folder}" for folder in place.plugins_dirs]
    found += [f"--device={place.device}", f"--out={place.out}"]
    return found + ["--strict"] * place.strict + ["--quiet"] * place.quiet
