"""A sweep on a Ray cluster: a task for each shared step, undefended run and cell, in the order that Ray finds best."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidbench.errors import ReidbenchError
from reidbench.harness.plan import Costs, PlannedStep, PlanProgress
from reidbench.progress import Overall, Progress, Silent
from reidbench.records.store import read_named
from reidbench.studies.cluster import node
from reidbench.studies.cluster.connection import connected
from reidbench.studies.cluster.resources import Resources, check_resources
from reidbench.studies.sweep import Outcome, broken_outcomes, run_arguments
from reidbench.studies.sweep_plan import Cell, Prepared

#: How often a task is started again whose worker or node was lost.
RETRIES = 3
# Seconds that tasks have to end by themselves once the sweep is cancelled; then their workers are ended.
GRACE_SECONDS = 15.0
_WAIT_SECONDS = 1.0
# Errors of Ray that say so, by name: Ray may not be installed.
FULL = frozenset({"ObjectStoreFullError", "OutOfDiskError"})


@dataclass(eq=False)
class _Task:
    """A task of the sweep that was handed to Ray.

    Attributes:
        step: its name, and what its cost depends on.
        done: what to do with its result; gives the outcomes.
        failed: the outcomes of its failure, of which it is told why.
    """

    step: PlannedStep
    done: Callable[[Any], list[Outcome]]
    failed: Callable[[str], list[Outcome]]


@dataclass(eq=False)
class _Sweep:
    ray: Any
    told: node.Told
    held: tuple[Any, Any]  # References to it and to what it gives: sent to each node once.
    out: Path
    options: dict[str, Any]
    tasks: dict[Any, _Task] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    known: list[Outcome] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.ray.remote(function).options(**self.options).remote(*arguments)

    def add_group(self, cells: list[Cell], group: node.ToldGroup) -> None:
        """Hands over what a preset and seed takes; looks up what is recorded."""
        settings = cells[0].settings
        numbers = [cell.number for cell in cells]

        def failed(label: str) -> Callable[[str], list[Outcome]]:
            return lambda reason: [Outcome(label, settings.preset, settings.seed, "failed", reason=reason)]

        before: Any = {}
        if group.undefended:
            path = self.out / group.undefended
            if path.exists():
                before = self.ray.put({file.name: file.read_bytes() for file in _files_of(path)})
                self.known.append(Outcome("undefended", settings.preset, settings.seed, "known", read_named(path)))
            else:
                for step in group.steps:
                    if step.id not in self.steps:
                        needs = [self.steps[need] for need in step.needs if need in self.steps]
                        self.steps[step.id] = made = self.start(node.make_step, self.held[0], numbers, step.id, *needs)
                        planned = _planned(step.id, step.kind, step.what, step.key)
                        # What it is needed for fails with it, and says so.
                        self.tasks[made] = _Task(planned, lambda result: [], lambda reason: [])
                needs = [self.steps[step.id] for step in group.steps]
                before = self.start(node.make_undefended, self.held[0], numbers, *needs)
                self.tasks[before] = _Task(
                    _planned(f"record:{group.undefended}", "record", "undefended", {}),
                    lambda files: self._record(files, path, "undefended", cells[0]),
                    failed("undefended"),
                )
        for cell in cells:
            if cell.number in group.refused:
                self.known += failed(cell.label)(group.refused[cell.number])
                continue
            self._add_cell(cell, group, before, failed(cell.label))

    def _add_cell(self, cell: Cell, group: node.ToldGroup, before: Any, failed: Callable[[str], list[Outcome]]) -> None:
        path = self.out / group.records[cell.number]
        plain = group.plain.get(cell.number, "")

        def told_of_plain(state: Any) -> list[Outcome]:
            if not plain or plain in self.plain or not (self.out / plain).exists():
                return []
            self.plain.add(plain)
            record = read_named(self.out / plain)
            label = " ".join(["undefended,", record.defense.name])
            return [Outcome(label, cell.settings.preset, cell.settings.seed, state, record)]

        def done(result: tuple[node.Files, str]) -> list[Outcome]:
            files, reason = result
            known = bool(plain) and (self.out / plain).exists()
            node.write_files(self.out, files)
            found = told_of_plain("known" if known else "recorded")
            return found + (failed(reason) if reason else self._outcome(path, cell.label, cell, "recorded"))

        if path.exists():
            self.known += told_of_plain("known") + self._outcome(path, cell.label, cell, "known")
            return
        # The record of an undefended model is made beside that of the model, unless it is here.
        has = {file.name: file.read_bytes() for file in _files_of(self.out / plain)} if plain else before
        arguments = run_arguments(self.told.plan, cell)
        made = self.start(node.make_cell, self.held[1], arguments, group.device, path.name, has)
        self.tasks[made] = _Task(_planned(f"record:{path.name}", "cell", cell.label, {}), done, failed)

    def _record(self, files: node.Files, path: Path, label: str, cell: Cell) -> list[Outcome]:
        node.write_files(self.out, files)
        return self._outcome(path, label, cell, "recorded")

    def _outcome(self, path: Path, label: str, cell: Cell, state: Any) -> list[Outcome]:
        return [Outcome(label, cell.settings.preset, cell.settings.seed, state, read_named(path))]

    def work(self, progress: Progress, cache: Path) -> Iterator[Outcome]:
        """Gives the outcomes of all tasks as they come in."""
        steps = [task.step for task in self.tasks.values()]
        spent: dict[str, float] = {}
        watch = PlanProgress(steps, Costs(cache / "steps"), spent)
        whole = progress if isinstance(progress, Overall) else Silent()
        waiting = list(self.tasks)
        with whole.overall("whole sweep", len(steps)) as show:
            watch.show = show
            while waiting:
                ended, waiting = self.ray.wait(waiting, num_returns=1, timeout=_WAIT_SECONDS)
                for one in ended:
                    task = self.tasks.pop(one)
                    try:
                        result = self.ray.get(one)
                    except self.ray.exceptions.RayError as error:
                        found = task.failed(reason_of(error))
                    else:
                        found = task.done(result)
                    watch.finished(task.step.id, 0.0)
                    for outcome in found:
                        progress.say(f"{outcome.label}, preset {outcome.preset}, seed {outcome.seed}: {outcome.state}")
                    yield from found

    def cancel(self) -> None:
        """Ends all tasks that are not done, and waits until they are gone."""
        # With the cluster its tasks are gone.
        left = list(self.tasks) if self.ray.is_initialized() else []
        for force in (False, True):
            for one in left:
                with contextlib.suppress(Exception):
                    self.ray.cancel(one, force=force)
            if left:
                _, left = self.ray.wait(left, num_returns=len(left), timeout=GRACE_SECONDS)


def sweep_on_ray(
    told: node.Told,
    prepared: Prepared,
    *,
    executor: str,
    resources: Resources,
    out: Path,
    cache: Path,
    progress: Progress,
) -> Iterator[Outcome]:
    """Runs the cells of a plan on a Ray cluster; gives each outcome as soon as it is known.

    Records are written on this machine, as a local sweep writes them. What is recorded in ``out`` is skipped. Trainings
    that cells share are tasks of their own, each made once; Ray gives tasks to nodes, and starts those again whose
    worker or node was lost. When the sweep ends early, by an error or by Ctrl-C, no task is left.

    Args:
        told: the plan, as nodes are told it.
        prepared: the same plan, looked at here.
        executor: as :func:`~reidbench.studies.cluster.connection.connected` takes it.
        resources: of each task.
        out: the folder of the records.
        cache: of this machine, whose finished steps tell what steps may cost.

    Raises:
        ReidbenchError: no connection, no node has the resources, or the dataset cannot be opened there.
    """
    yield from broken_outcomes(prepared)
    if not prepared.cells:
        return
    with connected(executor) as ray:
        check_resources(ray, executor, resources)
        options = {
            "num_cpus": resources.cpus,
            "num_gpus": resources.gpus,
            "max_retries": RETRIES,
            # An error of a plugin comes again; a lost worker does not.
            "retry_exceptions": False,
        }
        try:
            held = ray.put(told), ray.put(told.given)
        except ray.exceptions.RayError as error:
            if {kind.__name__ for kind in type(error).__mro__} & FULL:
                raise ReidbenchError(f"--executor {executor}: the object store of the cluster is full") from error
            raise ReidbenchError(f"--executor {executor}: {reason_of(error)}") from error
        run = _Sweep(ray, told, held, out, options)
        groups = prepared.groups()
        progress.say(f"{len(prepared.cells)} cells on {len([n for n in ray.nodes() if n['Alive']])} nodes")
        opened = [run.start(node.open_group, held[0], [cell.number for cell in cells]) for cells in groups]
        for one in opened:
            run.tasks[one] = _Task(_planned("", "", "", {}), lambda result: [], lambda reason: [])
        try:
            found = [_first(ray, executor, one) for one in opened]
            run.tasks.clear()
            for cells, group in zip(groups, found):
                run.add_group(cells, group)
            yield from run.known
            yield from run.work(progress, cache)
        except ConnectionError as error:
            raise ReidbenchError(
                f"--executor {executor}: the connection to the cluster was lost; what is recorded is kept, and the "
                "same command goes on from there"
            ) from error
        finally:
            with contextlib.suppress(ConnectionError):
                run.cancel()


def _first(ray: Any, executor: str, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        raise ReidbenchError(f"--executor {executor}: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """Why a task failed, in a line: the error of ours that it raised, or what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ReidbenchError | OSError):
        return " ".join(str(cause).split())
    # Raised by a task, an error has a class that is made from both.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "OwnerDiedError"}:
        return f"its worker or node was lost {RETRIES + 1} times"
    if "OutOfMemoryError" in kinds:
        return "its node ran out of memory; give each run more with --cpus-per-run"
    if kinds & FULL:
        return "the object store of its node is full"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _files_of(record: Path) -> list[Path]:
    """A record with the files beside it; none where there is no record."""
    return sorted(path for path in record.parent.glob(f"{record.stem}*") if path.is_file()) if record.exists() else []


def _planned(name: str, kind: str, what: str, key: Any) -> PlannedStep:
    return PlannedStep(name, kind, what, (), lambda progress: None, done=False, key=key)
