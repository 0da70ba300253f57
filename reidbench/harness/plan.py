"""Plans: the steps of a run, known before any of them is made; what they cost; and their execution."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from reidbench.progress import Overall, Progress, Silent
from reidbench.steps.cache import CachedStep
from reidbench.steps.executors import Executor, local_executor
from reidbench.steps.finished import DONE

# Seconds that kinds of steps take in comparison with each other, as long as nothing is known of this machine: of a
# quick run on two CPU cores. Only their ratios matter, since the time left is scaled by what the run has done so far.
GUESSED = {
    "attacker": 40.0,
    "restorer": 30.0,
    "classifier": 10.0,
    "inference": 2.5,
    "cell": 90.0,
    "fit": 60.0,
    "model": 20.0,
    "record": 20.0,
}
GUESSED_OTHERWISE = 2.0
#: Finished steps of a kind that an estimate looks at, the newest first.
SAMPLES = 100
#: Seconds of the run for which the estimates of before are believed as much as what this run has done.
BELIEVED_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """A step of a run.

    Attributes:
        id: unique in a plan; steps that give the same results have the same one.
        kind: of the step cache, or ``record``.
        what: for people.
        needs: ids of the steps whose results it reads.
        work: makes it.
        done: whether its results are there. Not asked again once it is planned.
        here: as :class:`reidbench.steps.executors.Task` has it.
        key: what its cost depends on.
        waits: what has to be known before it is certain what it reads, for people; empty where all is known.
    """

    id: str
    kind: str
    what: str
    needs: tuple[str, ...]
    work: Callable[[Progress], object]
    done: bool
    here: bool = False
    key: Mapping[str, Any] = field(default_factory=dict)
    waits: str = ""

    def make(self, progress: Progress) -> object:
        """Makes it."""
        return self.work(progress)


class Plan:
    """The steps of a run, each once, none before one that it needs."""

    def __init__(self) -> None:
        self._steps: dict[str, PlannedStep] = {}
        self._wanted: list[str] = []
        self._spent: dict[str, float] = {}

    @property
    def steps(self) -> list[PlannedStep]:
        """All steps, in the order in which they were added."""
        return list(self._steps.values())

    def add(self, step: PlannedStep) -> str:
        """Adds a step, unless it is there already; gives its id."""
        self._steps.setdefault(step.id, step)
        return step.id

    def add_cached(
        self, steps: Sequence[CachedStep], what: str, *, needs: Iterable[str | None] = (), here: bool = False
    ) -> str:
        """Adds steps of the cache that are made one after the other, as one; gives its id.

        Args:
            steps: at least one, all of one kind.
            needs: ids; None stands for no step.
            what: for people.
        """
        first = steps[0]
        return self.add(
            PlannedStep(
                id=f"{first.kind}:{'+'.join(sorted({step.digest for step in steps}))}",
                kind=first.kind,
                what=what,
                needs=tuple(dict.fromkeys(filter(None, needs))),
                work=lambda progress: [step.make(progress) for step in steps],
                done=all(step.done() for step in steps),
                here=here,
                key=first.key,
            )
        )

    def want(self, step: str) -> None:
        """Marks a step as one whose result is asked for."""
        self._wanted.append(step)

    def to_make(self) -> list[PlannedStep]:
        """What has to be made: what is wanted and not done, and what that needs in turn."""
        found: set[str] = set()
        waiting = list(self._wanted)
        while waiting:
            step = self._steps[waiting.pop()]
            if not step.done and step.id not in found:
                found.add(step.id)
                waiting += step.needs
        return [step for step in self._steps.values() if step.id in found]

    def state(self) -> dict[str, str]:
        """By id: ``cached``, ``to make``, or ``not needed`` where all that reads it is done."""
        wanted = {step.id for step in self.to_make()}
        return {
            step.id: "cached" if step.done else "to make" if step.id in wanted else "not needed"
            for step in self._steps.values()
        }

    def inputs(self, step: PlannedStep) -> list[str]:
        """What a step reads, for people: the steps that it needs, but for those that these need in turn."""
        behind = {name for need in step.needs for name in self._behind(need)}
        return [self._steps[need].what for need in step.needs if need not in behind]

    def _behind(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = list(self._steps[name].needs)
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self._steps[one].needs
        return found

    def take_timings(self) -> dict[str, float]:
        """Seconds of what was made since they were last taken: of releases, and of trainings with all else."""
        told = dict.fromkeys(("release", "trainings"), 0.0)
        for name, seconds in self._spent.items():
            if (step := self._steps[name]).kind != "record":
                told["release" if step.kind == "release" else "trainings"] += seconds
        self._spent.clear()
        return told

    def execute(
        self, progress: Progress, *, executor: Executor | None = None, costs: Costs | None = None, title: str = "steps"
    ) -> None:
        """Makes all that has to be made, each step once.

        Args:
            executor: where; this machine if left out.
            costs: for the time left.
            title: of the bar over all steps.
        """
        steps = self.to_make()
        if not steps:
            return
        watch = PlanProgress(steps, costs, self._spent)
        whole = progress if isinstance(progress, Overall) else Silent()
        with whole.overall(title, len(steps)) as show:
            watch.show = show
            (executor or local_executor()).run(steps, progress=progress, report=watch)


class Costs:
    """What steps may cost, from finished steps in the cache.

    Args:
        cache: the folder of the step cache.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known: dict[str, list[tuple[dict[str, Any], float]]] = {}

    def seconds(self, step: PlannedStep) -> float | None:
        """The median of the finished steps that are most alike; None where no step of this kind was ever made.

        Alike are steps of the same name (of an attacker or a defense), then of the same options, device, size of images
        and start.
        """
        known = self._of_kind(step.kind)
        if not known:
            return None
        wanted = _traits(step.key)
        alike = [sum(a == b for a, b in zip(wanted, _traits(key))) for key, _ in known]
        return median(seconds for (_, seconds), score in zip(known, alike) if score == max(alike))

    def _of_kind(self, kind: str) -> list[tuple[dict[str, Any], float]]:
        if kind not in self._known:
            self._known[kind] = list(filter(None, map(_read_cost, _newest(self._cache / kind))))
        return self._known[kind]


def _newest(folder: Path) -> list[Path]:
    found: list[tuple[float, Path]] = []
    for path in folder.glob(f"*/{DONE}"):
        # Another process may be making a damaged step again.
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)[:SAMPLES]]


def _read_cost(path: Path) -> tuple[dict[str, Any], float] | None:
    # The cache repairs a damaged record when its step is asked for; for an estimate it is left out.
    try:
        told = json.loads(path.read_text())
        return dict(told["key"]), float(told["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _traits(key: Mapping[str, Any]) -> tuple[Any, ...]:
    gallery = key.get("gallery")
    size = key.get("size", gallery.get("size") if isinstance(gallery, dict) else None)
    name = key.get("name", key.get("defense"))
    # The name counts for most: an attacker's training says little of another's.
    return name, name, name, key.get("options"), key.get("device"), size, key.get("start") is None, key.get("split")


class PlanProgress:
    """How far a plan is, and the time left: estimates from before, scaled by what this run has done so far.

    Args:
        spent: gets the seconds by id of what is made.

    Attributes:
        show: gets the number of steps that are done, the share of all work, and the seconds left (None as long as
            nothing can be said).
    """

    def __init__(
        self, steps: Sequence[PlannedStep], costs: Costs | None = None, spent: dict[str, float] | None = None
    ) -> None:
        known = {step.id: costs.seconds(step) if costs else None for step in steps}
        guessed = {step.id: GUESSED.get(step.kind, GUESSED_OTHERWISE) for step in steps}
        # Guesses are brought to the scale of what is known.
        both = [(seconds, guessed[name]) for name, seconds in known.items() if seconds is not None]
        scale = sum(seconds for seconds, _ in both) / sum(guess for _, guess in both) if both else 1.0
        self._cost = {
            step.id: max(seconds if (seconds := known[step.id]) is not None else guessed[step.id] * scale, 1e-3)
            for step in steps
        }
        self._certain = bool(both)
        self._share = dict.fromkeys(self._cost, 0.0)
        self._began = time.monotonic()
        self._spent = spent if spent is not None else {}
        self._finished = 0
        self.show: Callable[[int, float, float | None], None] = lambda finished, share, left: None

    def advanced(self, task: str, share: float) -> None:
        """A step is this far."""
        self._share[task] = max(self._share[task], min(share, 1.0))
        self._tell()

    def finished(self, task: str, seconds: float) -> None:
        """A step is done."""
        self._share[task] = 1.0
        self._spent[task] = seconds
        self._finished += 1
        self._tell()

    def _tell(self) -> None:
        total = sum(self._cost.values())
        done = sum(self._cost[name] * share for name, share in self._share.items())
        elapsed = time.monotonic() - self._began
        # As if a little had been done in the time that was estimated for it: the first step alone is a poor measure.
        before = BELIEVED_SECONDS if self._certain else 0.0
        left = (total - done) * (elapsed + before) / (done + before) if done + before > 0 else None
        self.show(self._finished, done / total, left)
