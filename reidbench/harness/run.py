"""A whole run: from what was typed to records on disk. Everything typed is checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from reidbench.choosing import Chosen, dataset_options, defense_text
from reidbench.cohorts.base import Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.model import ModelDefense
from reidbench.harness.experiment import Experiment
from reidbench.harness.model_track import ModelTrack
from reidbench.progress import Progress
from reidbench.records import examples
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores
from reidbench.records.store import read_record, write_record
from reidbench.settings import Settings
from reidbench.steps.releases import Published, Release


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
    if isinstance(subject.published, Published):
        released = subject.published.images("test").pixels
        examples.keep_examples(subject.published.parts["test"], released, out / f"{made.stem}{examples.SUFFIX}")
    record = made.model_copy(update={"scores_sha256": digest})
    return record, write_record(record, out)
