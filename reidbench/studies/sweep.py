"""Many runs: defenses × options × seeds × presets. What is recorded is skipped, and what fails stops nothing else.

What all defenses of a preset and seed share (the cohort, the attackers trained on originals, the undefended run) is
made here, once. Each defense then runs in a process of its own, so that one which hangs, crashes or eats the memory
breaks only itself.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reidbench.choosing import Chosen, choose_dataset, choose_defenses, dataset_options, defense_text
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.model import ModelDefense
from reidbench.errors import PluginError, ReidbenchError, did_you_mean
from reidbench.harness.experiment import Experiment
from reidbench.harness.isolated import run_apart
from reidbench.harness.run import record_run, subject_of, subject_path, undefended_images
from reidbench.plugins import Registry
from reidbench.progress import Progress
from reidbench.records.ladder import DEFAULT_ATTACKERS, parse_ladder
from reidbench.records.schema import Record
from reidbench.records.store import read_named
from reidbench.settings import choose_bundle, make_settings

State = Literal["recorded", "known", "failed"]


class Grid(BaseModel):
    """A defense of a sweep's file: every combination of its options."""

    model_config = ConfigDict(extra="forbid")

    name: str
    options: dict[str, Any] = Field({}, description="a value, or a list of values to try each")


class SweepPlan(BaseModel):
    """What a sweep runs: the file's keys, most of them named as the options of ``reidbench run``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defenses: list[str] = Field([], description="as --defense takes them: name, name:option=value, name:all")
    defense: list[Grid] = Field([], description="[[defense]] tables: a name, and options with lists of values")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)
    presets: list[str] = Field(["quick"], min_length=1)
    dataset: str | None = None
    root: Path | None = Field(None, description="the dataset's folder; from the file's own folder if relative")
    attackers: list[str] = Field(list(DEFAULT_ATTACKERS), min_length=1)
    bundle: str | None = Field(None, description="attackers trained before, as --attackers")
    leave_out_known: bool = Field(False, description="as --leave-out-known")
    keep_findings: bool = Field(False, description="as --keep-findings")
    rungs: list[str] = []
    size: int | None = None
    set: dict[str, str | int | float | bool] = Field({}, description="over the preset, as --set")
    timeout: float | None = Field(None, gt=0, description="seconds for each run of a defense")

    def texts(self) -> list[str]:
        """Every defense as it would be typed, grids multiplied out."""
        found = list(self.defenses)
        for grid in self.defense:
            values = [value if isinstance(value, list) else [value] for value in grid.options.values()]
            for combination in itertools.product(*values):
                options = dict(zip(grid.options, combination))
                found.append(f"{grid.name}:{json.dumps(options)}" if options else grid.name)
        return list(dict.fromkeys(found))


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
    command: str = ""


def read_plan(path: Path, over: Mapping[str, Any]) -> SweepPlan:
    """Reads a sweep's TOML file.

    Args:
        over: keys that were typed, in place of the file's.

    Raises:
        ReidbenchError: it is missing, no TOML, or has a key or a value that no sweep takes.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # Not TOML, not UTF-8, or a number of thousands of digits.
        raise ReidbenchError(f"{path}: no valid TOML: {error}") from error
    if isinstance(data.get("root"), str):
        data["root"] = path.parent / data["root"]
    return make_plan({**data, **over}, where=str(path))


def make_plan(data: Mapping[str, Any], *, where: str) -> SweepPlan:
    """A plan from a file's or a command's keys.

    Raises:
        ReidbenchError: a key is unknown, a value is wrong, or no defense is named.
    """
    for key in data:
        if key not in SweepPlan.model_fields:
            raise ReidbenchError(f"{where}: unknown key {key!r}: {did_you_mean(key, SweepPlan.model_fields)}")
    try:
        plan = SweepPlan.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ReidbenchError(f"{where}: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error
    try:
        texts = plan.texts()
    except (TypeError, ValueError, RecursionError) as error:
        raise ReidbenchError(f"{where}: defense: an option has no JSON form: {error}") from error
    if not texts:
        raise ReidbenchError(f"{where}: no defense is named")
    return plan


def sweep(plan: SweepPlan, place: Place, progress: Progress) -> Iterator[Outcome]:
    """Runs a plan; gives each outcome as soon as it is known, the undefended runs among them.

    Raises:
        ReidbenchError: what was asked for is wrong (an unknown name, a value out of bounds, no such dataset). All of it
            is looked at before any work begins; a plugin that is broken counts as a failed run instead.
    """
    registry = Registry(place.plugins_dirs)
    chosen, broken = _choose(registry, plan.texts())
    source = choose_dataset(registry, plan.dataset, plan.root)
    settings = [
        make_settings(
            registry,
            preset=preset,
            device=place.device,
            cache=place.cache,
            attackers=tuple(plan.attackers),
            overrides=_overrides(plan),
            size=plan.size,
            bundle=choose_bundle(
                plan.bundle,
                generated=source.generated,
                preset=preset,
                attackers=plan.attackers,
                overrides=_overrides(plan),
                size=plan.size,
            ),
            leave_out=plan.leave_out_known,
            keep_findings=plan.keep_findings,
            ladder=parse_ladder(plan.rungs),
            seed=seed,
            command=place.command,
        )
        for preset in dict.fromkeys(plan.presets)
        for seed in dict.fromkeys(plan.seeds)
    ]
    yield from (Outcome(text, "", 0, "failed", reason=reason) for text, reason in broken.items())
    for one in settings if chosen else ():
        cohort = load_cohort(source, size=one.size, cache=place.cache, strict=place.strict, progress=progress)
        experiment = Experiment(cohort, dataset_options(source), one, progress)
        if any(not isinstance(choice.defense, ModelDefense) for choice in chosen):
            undefended = undefended_images(experiment)
            state: State = "known" if subject_path(undefended, place.out).exists() else "recorded"
            progress.say(f"undefended, preset {one.preset}, seed {one.seed}")
            baseline, _ = record_run(undefended, None, place.out)
            yield Outcome("undefended", one.preset, one.seed, state, baseline)
        models: set[Path] = set()
        for number, choice in enumerate(chosen, 1):
            label = defense_text(choice.defense)
            progress.say(f"{number} of {len(chosen)}: {label}, preset {one.preset}, seed {one.seed}")
            yield from _run(experiment, choice, plan, place, progress, models)


def _choose(registry: Registry, texts: Sequence[str]) -> tuple[list[Chosen], dict[str, str]]:
    chosen: dict[str, Chosen] = {}
    broken: dict[str, str] = {}
    for text in texts:
        try:
            found = choose_defenses(registry, [text])
        except PluginError as error:
            broken[text] = str(error)
            continue
        chosen.update({defense_text(choice.defense): choice for choice in found})
    return list(chosen.values()), broken


def _run(
    experiment: Experiment, choice: Chosen, plan: SweepPlan, place: Place, progress: Progress, models: set[Path]
) -> Iterator[Outcome]:
    """One defense, after the undefended model that it is compared with if it publishes one.

    Args:
        models: the records of undefended models that were told of.
    """
    settings = experiment.settings
    label = defense_text(choice.defense)
    try:
        subject = subject_of(experiment, choice)
    except PluginError as error:
        yield Outcome(label, settings.preset, settings.seed, "failed", reason=str(error))
        return
    path = subject_path(subject, place.out)
    # A model's undefended run takes the plugin's code too, and is made in the defense's own process.
    undefended = subject.undefended if isinstance(choice.defense, ModelDefense) else None
    plain = subject_path(undefended, place.out) if undefended else None
    before: State = "known" if plain is not None and plain.exists() else "recorded"
    reason = ""
    state: State = "known"
    if not path.exists():
        options = json.dumps(choice.defense.model_dump(mode="json"))
        arguments = ["run", f"--defense={choice.defense.name}:{options}", *_arguments(plan, place)]
        arguments += [f"--preset={settings.preset}", f"--seed={settings.seed}"]
        ended = run_apart(arguments, timeout=plan.timeout, say=progress.say)
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


def _arguments(plan: SweepPlan, place: Place) -> list[str]:
    """What every run of the sweep is given alike."""
    given = {"--dataset": plan.dataset, "--root": plan.root, "--size": plan.size, "--attackers": plan.bundle}
    found = [f"{name}={value}" for name, value in given.items() if value is not None]
    found += [f"--attacker={name}" for name in plan.attackers]
    found += [f"--rung={name}" for name in plan.rungs]
    found += [f"--set={name}={value}" for name, value in _overrides(plan).items()]
    found += [f"--plugins-dir={folder}" for folder in place.plugins_dirs]
    found += [f"--device={place.device}", f"--out={place.out}"]
    found += ["--leave-out-known"] * plan.leave_out_known
    found += ["--keep-findings"] * plan.keep_findings
    return found + ["--strict"] * place.strict + ["--quiet"] * place.quiet


def _overrides(plan: SweepPlan) -> dict[str, str]:
    return {name: str(value) for name, value in plan.set.items()}
