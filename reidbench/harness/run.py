"""A whole run: from what was typed to records on disk. Everything typed is checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reidbench.cohorts.base import Cohort, Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.base import BaseDefense
from reidbench.errors import PluginError, ReidbenchError, did_you_mean
from reidbench.harness.experiment import Experiment
from reidbench.harness.published import Release
from reidbench.harness.record import Record, read_record
from reidbench.harness.scores import SUFFIX, RunScores
from reidbench.harness.settings import Settings
from reidbench.options import build, parse_spec
from reidbench.plugins import Found, Registry
from reidbench.progress import Progress

DEFAULT_DATASET = "phantom"
ALL_POINTS = "all"


@dataclass(frozen=True)
class Chosen:
    """A defense as it was asked for, with where it comes from."""

    defense: BaseDefense
    found: Found


def choose_defenses(registry: Registry, texts: Sequence[str]) -> list[Chosen]:
    """Defenses from ``name:option=value``, ``name:point`` or ``name:all`` (every operating point).

    Raises:
        ReidbenchError: a name, an option or a point is unknown, or a value is out of its bounds.
    """
    chosen = []
    for text in texts:
        spec = parse_spec(text)
        cls = registry.get("defense", spec.name)
        if not issubclass(cls, BaseDefense):
            raise PluginError(f"{spec.name}: {cls.__name__} is no subclass of reidbench.Defense or one of its kinds")
        points: dict[str, dict[str, Any]] = cls.operating_points
        found = registry.describe("defense", spec.name)
        if spec.point is None:
            below: list[dict[str, Any]] = [{}]
        elif spec.point == ALL_POINTS and points:
            below = list(points.values())
        elif spec.point in points:
            below = [points[spec.point]]
        else:
            known = [*points, ALL_POINTS] if points else []
            hint = did_you_mean(spec.point, known) if known else f"it has none; options: {', '.join(cls.model_fields)}"
            raise ReidbenchError(f"defense {spec.name!r} has no operating point {spec.point!r}: {hint}")
        chosen += [Chosen(build("defense", cls, {**point, **spec.options}), found) for point in below]
    return chosen


def choose_dataset(registry: Registry, text: str | None, root: Path | None) -> Dataset:
    """The dataset from ``name`` or ``name:option=value``; the phantom if none is named.

    Raises:
        ReidbenchError: the name or an option is unknown, or ``root`` is needed or not taken.
    """
    spec = parse_spec(text or DEFAULT_DATASET)
    if spec.point is not None:
        raise ReidbenchError(f"--dataset {text}: {spec.point!r} is no option=value")
    cls = registry.get("dataset", spec.name)
    if not issubclass(cls, Dataset):
        raise PluginError(f"{spec.name}: {cls.__name__} is no subclass of reidbench.Dataset")
    options = dict(spec.options)
    if root is not None:
        if "root" not in cls.model_fields:
            raise ReidbenchError(f"--root {root}: dataset {spec.name!r} takes no folder")
        options["root"] = root
    elif "root" in cls.model_fields and cls.model_fields["root"].is_required() and "root" not in options:
        raise ReidbenchError(f"dataset {spec.name!r} needs its folder: add --root FOLDER")
    return build("dataset", cls, options)


def dataset_options(dataset: Dataset) -> dict[str, Any]:
    """A dataset's options for the record; folders are left out, since they say where, not what."""
    return {
        name: value
        for name, value in dataset.model_dump(mode="json").items()
        if not isinstance(getattr(dataset, name), Path)
    }


def run(
    dataset: Dataset,
    defenses: Sequence[Chosen],
    settings: Settings,
    *,
    seeds: Sequence[int],
    out: Path,
    strict: bool,
    progress: Progress,
    done: Callable[[Record, Path], None],
) -> list[Record]:
    """Judges every defense at every seed, the undefended run first, and writes a record as soon as it is made.

    Args:
        seeds: each is a run of its own: release, training and sampling.
        out: the folder of the records.
        strict: refuse a dataset with unreadable images in place of leaving them out.
        done: called with each record and its file.

    Returns:
        All records, the undefended ones first for each seed.
    """
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    for note in cohort.notes:
        progress.say(f"{cohort.name}: {note}")
    records = []
    for made, scores in _judged(cohort, dataset_options(dataset), defenses, settings, seeds, progress):
        # Scores first: a record on disk says that everything behind it is there.
        path = out / f"{made.stem}.json"
        if path.exists():
            record = read_record(path)
        else:
            digest = scores.write(out / f"{made.stem}{SUFFIX}")
            record = made.model_copy(update={"scores_sha256": digest})
            record.write(out)
        done(record, path)
        records.append(record)
    return records


def _judged(
    cohort: Cohort,
    options: dict[str, Any],
    defenses: Sequence[Chosen],
    settings: Settings,
    seeds: Sequence[int],
    progress: Progress,
) -> Iterator[tuple[Record, RunScores]]:
    for seed in seeds:
        experiment = Experiment(cohort, options, replace(settings, seed=seed), progress)
        progress.say(f"undefended, seed {seed}")
        baseline, scores = experiment.undefended()
        yield baseline, scores
        for chosen in defenses:
            progress.say(f"{chosen.defense.name} {_options(chosen.defense)}, seed {seed}".replace(" ,", ","))
            published = Release(
                chosen.defense,
                chosen.found,
                experiment.parts,
                seed=seed,
                cache=experiment.cache,
                device=settings.device,
                progress=progress,
            )
            yield experiment.judge(published, baseline=baseline)


def _options(defense: BaseDefense) -> str:
    return " ".join(f"{name}={value}" for name, value in defense.model_dump(mode="json").items())
