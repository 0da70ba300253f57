"""A whole run: from what was typed to records on disk. Everything typed is checked before any work begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from reidbench.choosing import Chosen, dataset_options, defense_text
from reidbench.cohorts.base import Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.defenses.model import ModelDefense
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.harness.model_track import ModelTrack
from reidbench.harness.plan import Costs, Plan, PlannedStep
from reidbench.progress import Progress
from reidbench.records import examples
from reidbench.records.paired.drops import judge_drops
from reidbench.records.parts.drops import Drops
from reidbench.records.schema import Record
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import read_named, write_record
from reidbench.settings import Settings
from reidbench.steps.executors import Executor
from reidbench.steps.releases import Published, Release

What = TypeVar("What", contravariant=True)
Subjected = TypeVar("Subjected")


class Track(Protocol[What]):
    """Where what is published is judged: an :class:`Experiment` judges images, a :class:`ModelTrack` models."""

    @property
    def keeps_findings(self) -> bool:
        """Whether the scores beside the record may contain the findings of each image."""
        ...

    def facts(self) -> dict[str, Any]:
        """What every record of this track says of dataset and settings."""
        ...

    def identity(self, published: What) -> str:
        """The id of the record."""
        ...

    def plan(self, published: What, plan: Plan) -> list[str]:
        """Adds all that :meth:`judge` reads; gives the ids of these steps."""
        ...

    def judge(
        self, published: What, *, baseline: Record | None, spent: Mapping[str, float] | None = None
    ) -> tuple[Record, RunScores]:
        """The record, and the scores behind it; makes what it reads, unless ``spent`` says that this is done."""
        ...


@dataclass(frozen=True, eq=False)
class Subject(Generic[Subjected]):
    """What is judged, on its track.

    Attributes:
        track: judges it.
        published: what is judged.
        name: of the defense, or ``undefended``.
        label: name and options for a person.
        undefended: what drops are counted from; None where this is it.
    """

    track: Track[Subjected]
    published: Subjected
    name: str
    label: str
    undefended: Subject[Subjected] | None


@dataclass(frozen=True, eq=False)
class PlannedRecord:
    """A record of a run, made or to be made.

    Attributes:
        subject, seed: what it is of.
        path: where it lies, or will lie.
        step: its id in the plan.
    """

    subject: Subject[Any]
    seed: int
    path: Path
    step: str


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """All that a run takes, before anything of it is made.

    Attributes:
        plan: its steps.
        records: in the order in which they are made, the undefended ones first for each seed.
        costs: what the steps may cost.
    """

    plan: Plan
    records: list[PlannedRecord]
    costs: Costs


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
    executor: Executor | None = None,
) -> list[Record]:
    """Judges every defense at every seed, the undefended run first, and writes a record as soon as it is made.

    What is recorded in ``out`` already is read, not judged again.

    Args:
        seeds: each is a run of its own: release, training and sampling.
        out: the folder of the records.
        strict: refuse a dataset with unreadable images in place of leaving them out.
        done: called with each record and its file.
        executor: makes the steps; processes of this machine if left out.

    Returns:
        All records, the undefended ones first for each seed.
    """
    planned = plan_run(dataset, defenses, settings, seeds=seeds, out=out, strict=strict, progress=progress, done=done)
    for path, one in {one.path: one for one in planned.records if one.path.exists()}.items():
        done(read_own(one.subject, path), path)
    planned.plan.execute(progress, executor=executor, costs=planned.costs, title="whole run")
    return [read_named(one.path) for one in planned.records]


def plan_run(
    dataset: Dataset,
    defenses: Sequence[Chosen],
    settings: Settings,
    *,
    seeds: Sequence[int],
    out: Path,
    strict: bool,
    progress: Progress,
    done: Callable[[Record, Path], None] = lambda record, path: None,
) -> PlannedRun:
    """The steps of a run, of which nothing is made but the cohort's pixels, which are loaded.

    Args:
        as :func:`run`.

    Raises:
        ReidbenchError: the dataset cannot be loaded or judged, or a defense or the rungs do not suit it.
    """
    cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
    say_notes(cohort.name, cohort.notes, progress)
    first = Experiment(cohort, dataset_options(dataset), replace(settings, seed=seeds[0]), progress)
    plan, records = Plan(), []
    for seed in seeds:
        experiment = first if seed == seeds[0] else first.reseeded(seed)
        subjects = [subject_of(experiment, chosen) for chosen in defenses]
        baselines: set[Path] = set()
        for subject in [*undefended_of(experiment, subjects), *subjects]:
            path = subject_path(subject, out)
            if path in baselines:
                continue
            if subject.undefended is None:
                baselines.add(path)
            records.append(_plan_record(plan, subject, seed, out, progress, done))
    return PlannedRun(plan, records, Costs(first.cache.root))


def _plan_record(
    plan: Plan,
    subject: Subject[Any],
    seed: int,
    out: Path,
    progress: Progress,
    done: Callable[[Record, Path], None],
) -> PlannedRecord:
    path = subject_path(subject, out)
    against = subject_path(subject.undefended, out) if subject.undefended else None
    recorded = path.exists()

    def make(inner: Progress) -> None:
        progress.say(f"{subject.label}, seed {seed}")
        baseline = read_named(against) if against else None
        done(*record_run(subject, baseline, out, spent=plan.take_timings()))

    needs = [] if recorded else subject.track.plan(subject.published, plan)
    step = PlannedStep(
        id=f"record:{path}",
        kind="record",
        what=f"record of {subject.label}, seed {seed}",
        needs=(*needs, *([f"record:{against}"] if against else [])),
        work=make,
        done=recorded,
        here=True,
    )
    plan.want(plan.add(step))
    return PlannedRecord(subject, seed, path, step.id)


def subject_of(experiment: Experiment, chosen: Chosen) -> Subject[Any]:
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


def undefended_images(experiment: Experiment) -> Subject[Published]:
    """The undefended run of the images' track."""
    originals = experiment.originals
    return Subject(experiment, originals, originals.info().name, originals.info().name, None)


def undefended_of(experiment: Experiment, subjects: Sequence[Subject[Any]]) -> list[Subject[Any]]:
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


def subject_path(subject: Subject[Any], out: Path) -> Path:
    """Where the record of a run lies, or will lie."""
    return out / f"{subject.name}-{subject.track.identity(subject.published)}.json"


def read_own(subject: Subject[Any], path: Path) -> Record:
    """A record that was made before, in place of judging ``subject`` again.

    Raises:
        ReidbenchError: it is not a record, or not of this run, although it has its name.
    """
    record = read_named(path)
    said = {
        "dataset": record.dataset.name,
        "revision": record.dataset.revision,
        "size": record.dataset.size,
        "preset": record.preset,
        "seed": record.seed,
        "bootstrap_runs": record.bootstrap_runs,
        "options": record.defense.options,
    }
    expected = {**subject.track.facts(), "options": subject.published.info().options}
    wrong = [name for name, value in said.items() if expected[name] != value]
    if wrong:
        raise ReidbenchError(
            f"{path}: not the record of this run, although it has its name: {', '.join(wrong)} differ; remove it"
        )
    return record


def record_run(
    subject: Subject[Any], baseline: Record | None, out: Path, *, spent: Mapping[str, float] | None = None
) -> tuple[Record, Path]:
    """Judges what is published and writes the record with its scores, unless it is recorded already; reads it then.

    Args:
        spent: as :meth:`Track.judge` has it.
    """
    path = subject_path(subject, out)
    if path.exists():
        return read_own(subject, path), path
    made, scores = subject.track.judge(subject.published, baseline=baseline, spent=spent)
    if not subject.track.keeps_findings:
        scores = scores.without_findings()
    # Scores first: a record on disk says that everything behind it is there.
    beside = out / f"{made.stem}{SUFFIX}"
    digest = scores.write(beside)
    if isinstance(subject.published, Published):
        released = subject.published.images("test").pixels
        examples.keep_examples(subject.published.parts["test"], released, out / f"{made.stem}{examples.SUFFIX}")
    drops = _drops(made, read_scores(beside, digest), baseline, out) if baseline is not None else None
    record = made.model_copy(update={"scores_sha256": digest, "drops": drops})
    return record, write_record(record, out)


def _drops(record: Record, scores: RunScores, baseline: Record, out: Path) -> Drops | None:
    """Drops from the scores as they are kept, so that they can be computed again; None without the baseline's."""
    beside = out / f"{baseline.stem}{SUFFIX}"
    if baseline.scores_sha256 is None or not beside.is_file():
        return None
    return judge_drops(baseline, read_scores(beside, baseline.scores_sha256), record, scores)
