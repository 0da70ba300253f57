"""CPUs and GPUs of the tasks of a sweep, and what follows from them for its plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reidbench.errors import ReidbenchError
from reidbench.studies.sweep_plan import SweepPlan


@dataclass(frozen=True)
class Resources:
    """What each task gets.

    Attributes:
        gpus: GPUs of each task; 0 for none, parts for GPUs that are shared.
        cpus: CPU cores of each task, which is also the number of its threads.
    """

    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        """Ray divides one GPU among tasks, but none of several.

        Raises:
            ReidbenchError: a number that no task can have.
        """
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ReidbenchError(f"--gpus-per-run {self.gpus:g}: a part of one GPU, or a whole number of them")

    def devices(self, asked: int | None) -> int | None:
        """How many devices train one attacker together: all GPUs of the task unless another number is asked for.

        Raises:
            ReidbenchError: more are asked for than the task has GPUs.
        """
        if asked is None:
            return int(self.gpus) if self.gpus > 1 else None
        if self.gpus and asked > max(self.gpus, 1):
            raise ReidbenchError(f"--devices {asked}: a task has {self.gpus:g} GPUs; see --gpus-per-run")
        return asked


def plan_on_ray(plan: SweepPlan, resources: Resources) -> SweepPlan:
    """A plan as nodes are told it: they have other working folders, and attackers train on all GPUs of their task.

    Raises:
        ReidbenchError: more devices are asked for than a task has GPUs.
    """
    told: dict[str, Any] = {"devices": resources.devices(plan.devices)}
    told["root"] = plan.root and plan.root.expanduser().absolute()
    if plan.bundle is not None and Path(plan.bundle).is_dir():
        told["bundle"] = str(Path(plan.bundle).absolute())
    return plan.model_copy(update=told)


def device_of_nodes(name: str) -> torch.device:
    """What to look at a plan with on a machine that need not have the devices of the nodes.

    Raises:
        ReidbenchError: ``name`` is no device anywhere, or one GPU by its number: Ray gives a task its GPUs.
    """
    try:
        index = None if name == "auto" else torch.device(name).index
    except RuntimeError as error:
        raise ReidbenchError(f"--device {name}: no such device") from error
    if index is not None:
        raise ReidbenchError(f"--device {name}: Ray chooses the GPUs of a task; use {name.partition(':')[0]} or auto")
    return torch.device("cpu")


def check_resources(ray: Any, executor: str, wanted: Resources) -> None:
    """Looks whether some node can take a task, which would wait for ever otherwise.

    Raises:
        ReidbenchError: none can.
    """
    nodes = [found["Resources"] for found in ray.nodes() if found["Alive"]]
    if not any(one.get("CPU", 0) >= wanted.cpus and one.get("GPU", 0) >= wanted.gpus for one in nodes):
        cpus, gpus = (max((one.get(what, 0) for one in nodes), default=0) for what in ("CPU", "GPU"))
        raise ReidbenchError(
            f"--executor {executor}: no node has {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs for a run; "
            f"nodes have at most {cpus:g} and {gpus:g}"
        )
