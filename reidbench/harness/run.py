"""A whole run: from what was typed to records on disk. Everything typed is checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from reidbench.cohorts.base import Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.base import BaseDefense
from reidbench.defenses.model import ModelDefense
from reidbench.errors import PluginError, ReidbenchError, did_you_mean
from reidbench.harness.experiment import Experiment
from reidbench.harness.model_track import ModelTrack
from reidbench.harness.published import Release
from reidbench.harness.record import Record, read_record
from reidbench.harness.scores import SUFFIX, RunScores
from reidbench.harness.settings import Settings
from reidbench.options import build, parse_spec
from reidbench.plugins import Found, Registry
from reidbench.progress import Progress

DEFAULT_DATASET = "phantom"
ALL_POINTS = "all"
# The authors' own settings of a training, which may take a GPU and days: asked for by name only.
PUBLISHED_POINT = "published"


@dataclass(frozen=True)
class Chosen:
    """A defense as it was asked for, with where it comes from."""

    defense: BaseDefense
    found: Found


class Track(Protocol):
    """Where what is published is judged: an :class:`Experiment` judges images, a :class:`ModelTrack` models."""

    def identity(self, published: Any) -> str:
        """The id of the record."""
        ...

    def judge(self, published: Any, *, baseline: Record | None) -> tuple[Record, RunScores]:
        """The record, and the scores behind it."""
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """What is judged, on its track.

    Attributes:
        track: judges it.
        published: what is judged.
        name: of the defense, or ``undefended``.
        label: name and options for a person.
        undefended: what drops are counted from; None where this is it.
    """

    track: Track
    published: Any
    name: str
    label: str
    undefended: Subject | None


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
            below = [options for name, options in points.items() if name != PUBLISHED_POINT]
        elif spec.point in points:
            below = [points[spec.point]]
        else:
            known = [*points, ALL_POINTS] if points else []
            hint = did_you_mean(spec.point, known) if known else f"it has none; options: {', '.join(cls.model_fields)}"
            raise ReidbenchError(f"defense {spec.name!r} has no operating point {spec.point!r}: {hint}")
        chosen += [Chosen(build("defense", cls, {**point, **spec.options}), found) for point in below]
    return chosen


def choose_dataset(registry: Registry, text: str | None, root: Path | None, option: str = "--root") -> Dataset:
    """The dataset from ``name`` or ``name:option=value``; the phantom if none is named.

    ``option`` is what gives the folder, for errors.

    Raises:
        ReidbenchError: the name or an option is unknown, or ``root`` is needed or not taken.
    """
    spec = parse_spec(text or DEFAULT_DATASET)
    if spec.point is not None:
        raise ReidbenchError(f"dataset {text}: {spec.point!r} is no option=value")
    cls = registry.get("dataset", spec.name)
    if not issubclass(cls, Dataset):
        raise PluginError(f"{spec.name}: {cls.__name__} is no subclass of reidbench.Dataset")
    options = dict(spec.options)
    if root is not None:
        if "root" not in cls.model_fields:
            raise ReidbenchError(f"{option} {root}: dataset {spec.name!r} takes no folder")
        options["root"] = root
    elif "root" in cls.model_fields and cls.model_fields["root"].is_required() and "root" not in options:
        raise ReidbenchError(f"dataset {spec.name!r} needs its folder: add {option} FOLDER")
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

    What is recorded in ``out`` already is read, not judged again.

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
    for seed in seeds:
        experiment = Experiment(cohort, dataset_options(dataset), replace(settings, seed=seed), progress)
        subjects = [subject_of(experiment, chosen) for chosen in defenses]
        baselines: dict[Path, Record] = {}
        for subject in [*undefended_of(experiment, subjects), *subjects]:
            path = subject_path(subject, out)
            if path in baselines:
                continue
            progress.say(f"{subject.label}, seed {seed}")
            baseline = baselines[subject_path(subject.undefended, out)] if subject.undefended else None
            record, path = record_run(subject, baseline, out)
            if subject.undefended is None:
                baselines[path] = record
            done(record, path)
            records.append(record)
    return records


def subject_of(experiment: Experiment, chosen: Chosen) -> Subject:
    """What a defense publishes of an experiment's cohort, on its track; nothing is made before it is asked for.

    Raises:
        ReidbenchError: the dataset or the rungs don't suit a published model.
    """
    defense = chosen.defense
    label = defense_text(defense)
    if not isinstance(defense, ModelDefense):
        return Subject(experiment, release_of(experiment, chosen), defense.name, label, undefended_images(experiment))
    track = ModelTrack(experiment)
    model = track.publish(defense, chosen.found)
    plain = model.without_defense()
    undefended = Subject(track, plain, defense.name, f"undefended, {defense_text(plain.defense)}", None)
    return undefended if model.undefended else Subject(track, model, defense.name, label, undefended)


def undefended_images(experiment: Experiment) -> Subject:
    """The undefended run of the images' track."""
    originals = experiment.originals
    return Subject(experiment, originals, originals.info().name, originals.info().name, None)


def undefended_of(experiment: Experiment, subjects: Sequence[Subject]) -> list[Subject]:
    """The undefended runs that these are compared with; that of the images if there is nothing to compare."""
    found = [subject.undefended for subject in subjects if subject.undefended is not None]
    images = [one for one in found if one.published is experiment.originals][:1]
    models = [one for one in found if one.published is not experiment.originals]
    return [*images, *models] if subjects else [undefended_images(experiment)]


def release_of(experiment: Experiment, chosen: Chosen) -> Release:
    """What a defense publishes of an experiment's cohort; nothing is made before it is asked for."""
    return Release(
        chosen.defense,
        chosen.found,
        experiment.parts,
        seed=experiment.settings.seed,
        cache=experiment.cache,
        device=experiment.settings.device,
        progress=experiment.progress,
    )


def subject_path(subject: Subject, out: Path) -> Path:
    """Where the record of a run lies, or will lie."""
    return out / f"{subject.name}-{subject.track.identity(subject.published)}.json"


def record_run(subject: Subject, baseline: Record | None, out: Path) -> tuple[Record, Path]:
    """Judges what is published and writes the record with its scores, unless it is recorded already; reads it then."""
    path = subject_path(subject, out)
    if path.exists():
        return read_record(path), path
    made, scores = subject.track.judge(subject.published, baseline=baseline)
    # Scores first: a record on disk says that everything behind it is there.
    digest = scores.write(out / f"{made.stem}{SUFFIX}")
    record = made.model_copy(update={"scores_sha256": digest})
    return record, record.write(out)


def defense_text(defense: BaseDefense) -> str:
    """Name and options for a person: ``gaussian_noise sigma=0.1``."""
    options = " ".join(f"{name}={value}" for name, value in defense.model_dump(mode="json").items())
    return f"{defense.name} {options}".strip()
