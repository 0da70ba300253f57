"""What a sweep is asked for: a TOML file or typed options, checked, and the cells that they come to."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reidbench.choosing import Chosen, choose_dataset, choose_defenses, defense_text
from reidbench.cohorts.base import Dataset
from reidbench.errors import PluginError, ReidbenchError, did_you_mean
from reidbench.plugins import Registry
from reidbench.records.ladder import DEFAULT_ATTACKERS, parse_ladder
from reidbench.settings import Settings, choose_bundle, make_settings


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
    devices: int | None = Field(None, ge=1, description="that train one attacker together, as --devices")
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

    def overrides(self) -> dict[str, str]:
        """``set`` as ``--set`` takes it."""
        return {name: str(value) for name, value in self.set.items()}

    def arguments(self) -> list[str]:
        """What ``reidbench run`` is given for every cell alike."""
        given: dict[str, Any] = {
            "--dataset": self.dataset,
            "--root": self.root,
            "--size": self.size,
            "--attackers": self.bundle,
        }
        given["--devices"] = self.devices
        found = [f"{name}={value}" for name, value in given.items() if value is not None]
        found += [f"--attacker={name}" for name in self.attackers]
        found += [f"--rung={name}" for name in self.rungs]
        found += [f"--set={name}={value}" for name, value in self.overrides().items()]
        return found + ["--leave-out-known"] * self.leave_out_known + ["--keep-findings"] * self.keep_findings


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


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a sweep.

    Attributes:
        number: from 1 on, in the order of a local sweep; the same for the same plan and plugins.
        choice: the defense.
        settings: with preset and seed.
    """

    number: int
    choice: Chosen
    settings: Settings

    @property
    def label(self) -> str:
        """Name and options of the defense."""
        return defense_text(self.choice.defense)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan whose names and values were all looked at.

    Attributes:
        source: the dataset, of which nothing is loaded.
        cells: all runs, preset by preset and seed by seed.
        broken: by the text of a defense, why its plugin cannot be used.
    """

    source: Dataset
    cells: list[Cell]
    broken: dict[str, str]

    def only(self, number: int) -> Prepared:
        """One cell of it.

        Raises:
            ReidbenchError: no cell has this number.
        """
        if not 1 <= number <= len(self.cells):
            raise ReidbenchError(f"--cell {number}: the sweep has {len(self.cells)} cells, numbered from 1")
        return Prepared(self.source, [self.cells[number - 1]], {})

    def groups(self) -> list[list[Cell]]:
        """The cells of each preset and seed: what shares a cohort, trainings and the undefended run."""
        return [list(cells) for _, cells in itertools.groupby(self.cells, key=lambda cell: id(cell.settings))]


def prepare(
    plan: SweepPlan, *, plugins_dirs: Sequence[Path], device: torch.device, cache: Path, command: str
) -> Prepared:
    """Looks at all that a plan names; loads nothing of the dataset.

    Raises:
        ReidbenchError: an unknown name, a value out of bounds, no such dataset.
    """
    registry = Registry(plugins_dirs)
    chosen, broken = _choose(registry, plan.texts())
    source = choose_dataset(registry, plan.dataset, plan.root)
    settings = [
        make_settings(
            registry,
            preset=preset,
            device=device,
            cache=cache,
            attackers=tuple(plan.attackers),
            overrides=plan.overrides(),
            size=plan.size,
            bundle=choose_bundle(
                plan.bundle,
                generated=source.generated,
                preset=preset,
                attackers=plan.attackers,
                overrides=plan.overrides(),
                size=plan.size,
            ),
            leave_out=plan.leave_out_known,
            keep_findings=plan.keep_findings,
            ladder=parse_ladder(plan.rungs),
            seed=seed,
            devices=plan.devices,
            command=command,
        )
        for preset in dict.fromkeys(plan.presets)
        for seed in dict.fromkeys(plan.seeds)
    ]
    pairs = [(one, choice) for one in settings for choice in chosen]
    return Prepared(source, [Cell(number, choice, one) for number, (one, choice) in enumerate(pairs, 1)], broken)


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
