"""What the nodes of a cluster carry out for a sweep: ordinary functions, whose arguments and results travel.

A node is told what the command line was told. It opens the sweep for itself and finds the steps in it by their ids, so
that no images, networks or plugins are sent but loose plugin files; results of steps go through the step cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidbench.errors import PluginError, ReidbenchError
from reidbench.files import write_file

if TYPE_CHECKING:
    from reidbench.harness.experiment import Experiment
    from reidbench.harness.plan import Plan
    from reidbench.harness.run import Subject
    from reidbench.studies.sweep_plan import Cell, SweepPlan

#: Plugin files that are sent along, at most: they are code.
MAX_PLUGIN_BYTES = 50_000_000
#: Files by name, as they lie in a folder of records.
Files = dict[str, bytes]


@dataclass(frozen=True)
class Given:
    """What every task of a sweep is given.

    Attributes:
        folders: each ``--plugins-dir``, as :func:`packed` gives it.
        cache: ``REIDBENCH_CACHE``; None leaves that to the node.
        device: as ``--device`` has it.
        timeout: seconds for each cell's run; None for no limit.
        strict, quiet: as the options have it.
        command: for the undefended records.
    """

    folders: tuple[bytes, ...] = ()
    cache: str | None = None
    device: str = "auto"
    timeout: float | None = None
    strict: bool = False
    quiet: bool = False
    command: str = ""

    def plugins_dirs(self) -> list[Path]:
        """The plugin folders on this node; the cache is used from here on, by child processes too."""
        if self.cache is not None:
            os.environ["REIDBENCH_CACHE"] = self.cache
        return [unpacked(archive) for archive in self.folders]


@dataclass(frozen=True)
class Told:
    """A sweep, as a node opens it.

    Attributes:
        plan: a dataset's folder under the path that the nodes have it at.
        given: with all else.
    """

    plan: SweepPlan
    given: Given

    def __hash__(self) -> int:
        return hash(self.given)


@dataclass(frozen=True)
class ToldStep:
    """A step that has to be made: the fields of :class:`reidbench.harness.plan.PlannedStep` that travel."""

    id: str
    kind: str
    what: str
    needs: tuple[str, ...]
    key: Mapping[str, Any]


@dataclass(frozen=True)
class ToldGroup:
    """The runs of one preset and seed.

    Attributes:
        steps: what the undefended run of the images needs and the cache does not have, none before one that it needs.
        undefended: the name of its record; empty where no cell is compared with it.
        records: the names of the cells' records, by number of the cell.
        plain: the names of the records of undefended models, by number of the cell.
        refused: why a cell cannot run, by number.
        device: that ``--device`` means on the nodes.
    """

    steps: list[ToldStep]
    undefended: str
    records: dict[int, str]
    plain: dict[int, str]
    refused: dict[int, str]
    device: str


def packed(folder: Path) -> bytes:
    """The Python files of a plugin folder, and those of its packages, as a ZIP archive: equal for equal files.

    Raises:
        ReidbenchError: the folder does not exist, or its files are too large to be sent along.
    """
    if not folder.is_dir():
        raise ReidbenchError(f"--plugins-dir {folder}: no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if (size := sum(path.stat().st_size for path in paths)) > MAX_PLUGIN_BYTES:
        raise ReidbenchError(
            f"--plugins-dir {folder}: {size:,} bytes are too many to be sent to the nodes (at most "
            f"{MAX_PLUGIN_BYTES:,}); a folder of plugins holds code only"
        )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            # Without the time of the file: equal folders are unpacked once.
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return held.getvalue()


def unpacked(archive: bytes) -> Path:
    """A plugin folder that came along, in this node's temporary folder; unpacked once, whole or not at all."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    place = Path(tempfile.gettempdir()) / f"reidbench-plugins-{user}-{hashlib.sha256(archive).hexdigest()[:32]}"
    # A folder of this name that another user made could hold other code.
    if not place.is_dir() or (hasattr(os, "getuid") and place.stat().st_uid != user):
        with tempfile.TemporaryDirectory(prefix="reidbench-plugins-") as made:
            whole = Path(made) / "whole"
            whole.mkdir(mode=0o700)
            with zipfile.ZipFile(io.BytesIO(archive)) as files:
                files.extractall(whole)
            try:
                whole.replace(place)
            except OSError as error:
                # Another worker of this node was faster.
                if not place.is_dir() or (hasattr(os, "getuid") and place.stat().st_uid != user):
                    raise ReidbenchError(f"{place}: plugins cannot be unpacked: {error.strerror}") from error
    return place


def open_group(told: Told, numbers: Sequence[int]) -> ToldGroup:
    """What the cells of these numbers, all of one preset and seed, need; decodes the dataset's images.

    Raises:
        ReidbenchError: the dataset is not where the plan says, or does not suit it.
    """
    from reidbench.harness.run import subject_of, subject_path

    experiment, plan, cells, undefended = _opened(told, tuple(numbers))
    here = Path()
    records, plain, refused = {}, {}, {}
    for cell in cells:
        try:
            subject = subject_of(experiment, cell.choice)
            records[cell.number] = subject_path(subject, here).name
            if subject.undefended is not None and not _judges_images(cell):
                plain[cell.number] = subject_path(subject.undefended, here).name
        except PluginError as error:
            refused[cell.number] = str(error)
    steps = [ToldStep(step.id, step.kind, step.what, step.needs, dict(step.key)) for step in plan.to_make()]
    name = subject_path(undefended, here).name if undefended is not None else ""
    return ToldGroup(steps, name, records, plain, refused, str(experiment.settings.device))


def make_step(told: Told, numbers: Sequence[int], step: str, *needs: object) -> None:
    """Makes one step that :func:`open_group` named, unless the cache has it by now.

    Args:
        needs: what comes before; only waited for.
    """
    from reidbench.progress import Silent

    _, plan, _, _ = _opened(told, tuple(numbers))
    next(one for one in plan.steps if one.id == step).make(Silent())


def make_undefended(told: Told, numbers: Sequence[int], *needs: object) -> Files:
    """Judges the undefended images; gives the record's files."""
    from reidbench.harness.run import record_run

    _, _, _, undefended = _opened(told, tuple(numbers))
    assert undefended is not None
    with tempfile.TemporaryDirectory(prefix="reidbench-") as out:
        record_run(undefended, None, Path(out))
        return read_files(Path(out))


def make_cell(given: Given, arguments: Sequence[str], device: str, name: str, before: Files) -> tuple[Files, str]:
    """Makes a cell's record in a process of its own.

    Args:
        arguments: of ``reidbench run``, without where it runs.
        device: as the local sweep would name it.
        name: of its record.
        before: the files of the undefended run; none for a published model, which makes its own.

    Returns:
        The files that it wrote, and why there is no record among them, empty where there is.
    """
    from reidbench.harness.isolated import run_apart

    places = [f"--plugins-dir={folder}" for folder in given.plugins_dirs()]
    with tempfile.TemporaryDirectory(prefix="reidbench-") as made:
        out = Path(made)
        write_files(out, before)
        places += [f"--device={device}", f"--out={out}", *["--strict"] * given.strict, *["--quiet"] * given.quiet]
        ended = run_apart([*arguments, *places], timeout=given.timeout, say=lambda line: None)
        found = {path: content for path, content in read_files(out).items() if path not in before}
    if ended.code == 0 and name in found:
        return found, ""
    return found, ended.reason or f"it wrote no {name}: its plugin or reidbench differs on this node"


def read_files(folder: Path) -> Files:
    """The files of a folder of records."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def write_files(folder: Path, files: Files) -> None:
    """Writes them, each whole or not at all and records last: a record says that everything behind it is there."""
    for name in sorted(files, key=lambda name: (name.endswith(".json"), name)):
        if not (folder / name).exists():
            write_file(folder / name, files[name], durable=True)


# A worker makes several steps of one group: its images are opened once.
@lru_cache(maxsize=1)
def _opened(told: Told, numbers: tuple[int, ...]) -> tuple[Experiment, Plan, list[Cell], Subject[Any] | None]:
    from reidbench.choosing import dataset_options
    from reidbench.cohorts.load import load_cohort
    from reidbench.files import cache_folder
    from reidbench.harness.environment import choose_device
    from reidbench.harness.experiment import Experiment
    from reidbench.harness.plan import Plan
    from reidbench.harness.run import undefended_images
    from reidbench.progress import Silent
    from reidbench.studies.sweep_plan import prepare

    given = told.given
    folders, cache = given.plugins_dirs(), cache_folder()
    device = choose_device(given.device)
    prepared = prepare(told.plan, plugins_dirs=folders, device=device, cache=cache, command=given.command)
    cells = [cell for cell in prepared.cells if cell.number in numbers]
    if len(cells) < len(numbers):
        raise ReidbenchError(f"a node has {len(prepared.cells)} cells of this sweep: its plugins differ")
    one = cells[0].settings
    cohort = load_cohort(prepared.source, size=one.size, cache=cache, strict=given.strict, progress=Silent())
    experiment = Experiment(cohort, dataset_options(prepared.source), one, Silent())
    plan = Plan()
    undefended = undefended_images(experiment) if any(map(_judges_images, cells)) else None
    if undefended is not None:
        for step in undefended.track.plan(undefended.published, plan):
            plan.want(step)
    return experiment, plan, cells, undefended


def _judges_images(cell: Cell) -> bool:
    from reidbench.defenses.model import ModelDefense

    return not isinstance(cell.choice.defense, ModelDefense)


def look() -> tuple[str, str]:
    """This node's version of reidbench, and a digest of its Python files."""
    import reidbench

    folder = Path(reidbench.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return reidbench.__version__, digest.hexdigest()
