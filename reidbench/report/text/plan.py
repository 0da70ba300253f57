"""A plan of a run, as `reidbench run --dry-run` prints it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from reidbench.harness.run import PlannedRun

#: Number of inputs named in the table; a record has dozens.
NAMED = 2


def print_plan(planned: PlannedRun, *, as_json: bool) -> None:
    """Prints every step with its inputs, its state in the cache and its estimated time, and the total time."""
    if as_json:
        print(json.dumps(plan_data(planned), indent=1))
        return
    data = plan_data(planned)
    table = Table(box=None, pad_edge=False)
    table.add_column("step", overflow="fold", ratio=1)
    table.add_column("reads", overflow="fold", ratio=1)
    table.add_column("state", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    for step in data["steps"]:
        inputs = step["inputs"]
        reads = "; ".join(inputs[:NAMED]) + (f"; {len(inputs) - NAMED} more" if len(inputs) > NAMED else "")
        reads = "; ".join(filter(None, [step["depends"], reads]))
        table.add_row(step["what"], reads or "originals", step["state"], _seconds(step["seconds"]))
    console = Console(highlight=False)
    console.print(table)
    console.print(_summary(data), markup=False, soft_wrap=True)


def plan_data(planned: PlannedRun) -> dict[str, Any]:
    """The plan as data.

    Returns:
        ``steps``, each with ``id``, ``kind``, ``what``, ``needs`` (ids), ``inputs`` (the steps that it reads, for
        people), ``depends`` (what has to be decided before it is certain what it reads), ``state`` (``cached``,
        ``to make`` or ``not needed``) and ``seconds`` (an estimate from finished steps of the kind; null where there
        is none, 0 for what is cached); ``records``, the files; and ``seconds``, the sum over the steps to make of which
        there is an estimate, as if they were made one after the other.
    """
    plan = planned.plan
    states = plan.state()
    steps: list[dict[str, Any]] = []
    for step in plan.steps:
        state = states[step.id]
        seconds = planned.costs.seconds(step) if state == "to make" else 0.0
        steps.append(
            {
                "id": step.id,
                "kind": step.kind,
                "what": step.what,
                "needs": list(step.needs),
                "inputs": plan.inputs(step),
                "depends": step.waits,
                "state": state,
                "seconds": None if seconds is None else round(seconds, 1),
            }
        )
    return {
        "steps": steps,
        "records": [str(record.path) for record in planned.records],
        "seconds": round(sum(step["seconds"] or 0.0 for step in steps), 1),
    }


def _summary(data: dict[str, Any]) -> str:
    counts = Counter(step["state"] for step in data["steps"])
    told = ", ".join(f"{counts[state]} {state}" for state in ("cached", "to make", "not needed") if counts[state])
    unknown = sum(step["seconds"] is None for step in data["steps"])
    line = f"{len(data['steps'])} steps: {told}."
    if data["seconds"]:
        line += f" Made one after the other they take about {_seconds(data['seconds'])}."
    if unknown:
        line += f" {unknown} are of kinds without a finished step in the cache."
    return line


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if not seconds:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
