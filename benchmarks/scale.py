"""Time and memory of a whole run by the size of the cohort, up to all of ChestX-ray14, step by step.

python benchmarks/scale_cohort.py FOLDER/whole     # generated images, once; about twenty minutes
python benchmarks/scale.py FOLDER --docs docs      # writes docs/scale.md with its picture

Cohorts are the first patients of the whole one. For each, an empty cache is filled step by step, each in a process of
its own: the pixel store, the pairs, a training of a fixed number of batches, the release of gaussian_noise, the
classifiers, vectors, the ranking, the records and a page. A step that FOLDER has results of is skipped, so that a run
that was stopped goes on. Memory is sampled over all processes of a step (Linux), and what they share counts once;
"mapped" is the part that lies in files, which the system takes back when it is short of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scale_cohort import part

SIZES = (10_000, 30_000, 112_120)
IMAGE_SIZE = 64
#: Seconds between two looks at a step's memory.
SAMPLED = 0.1
#: Trainings end after a fixed number of batches, whatever the cohort's size.
TRAINED = {"verification": 400, "classifier": 400}
STAGES = ("pixel store", "pairs", "training", "release", "classifiers", "vectors", "ranking", "records", "page")
#: Images up to which these are measured unless --all is given: the figures of a record grow with the square of the test
#: images (at 112,120 they were stopped after half an hour of CPU time); a page needs the record.
LARGEST = {"records": 30_003, "page": 30_003}
_KINDS = {
    "training": ("attacker",),
    "release": ("release",),
    "classifiers": ("classifier", "inference"),
    "vectors": ("vectors", "choice"),
}


def main() -> None:
    """Measures what the results lack, and writes them with a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--again", nargs="+", default=[], choices=STAGES, help="steps to measure again")
    parser.add_argument("--all", action="store_true", help="records and pages of the largest cohort, too: takes long")
    parser.add_argument("--docs", type=Path, help="where the page and its picture are written")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if arguments.stage:
        print(json.dumps(make(folder / str(arguments.sizes[0]), arguments.stage)))
        return
    kept = folder / "scale.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for size in arguments.sizes:
        place = folder / str(size)
        told = found.setdefault(str(size), {"images": part(folder / "whole", size, place), "stages": {}})
        for stage in STAGES:
            if not arguments.all and told["images"] > LARGEST.get(stage, told["images"]):
                continue
            if stage not in told["stages"] or stage in arguments.again:
                told["stages"][stage] = measured(folder, size, stage)
                kept.write_text(json.dumps(found, indent=1))
                print(f"{told['images']:,} images: {stage}: {told['stages'][stage]}", file=sys.stderr, flush=True)
    if arguments.docs:
        from scale_page import draw, page

        (arguments.docs / "scale.svg").write_text(draw(found, STAGES))
        (arguments.docs / "scale.md").write_text(page(found, STAGES))


def measured(folder: Path, size: int, stage: str) -> dict[str, Any]:
    """Makes a step in a process of its own; gives seconds, CPU seconds and peak memory in MB."""
    command = [sys.executable, __file__, str(folder), "--sizes", str(size), "--stage", stage]
    began, before = time.perf_counter(), os.times()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = most_mapped = 0
        while process.poll() is None:
            held, mapped = memory(process.pid)
            if held > peak:
                peak, most_mapped = held, mapped
            time.sleep(SAMPLED)
        told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{stage} of {size:,} images failed")
    after = os.times()
    return {
        **json.loads(told.splitlines()[-1]),
        "process_seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(sum(after[2:4]) - sum(before[2:4]), 1),
        "peak_mb": round(peak / 1e6),
        "mapped_mb": round(most_mapped / 1e6),
    }


def memory(process: int) -> tuple[int, int]:
    """Bytes that a process and its descendants hold, pages that several share divided among them; and of files."""
    held = mapped = 0
    waiting = [process]
    while waiting:
        one = Path("/proc") / str(waiting.pop())
        try:
            lines = (one / "smaps_rollup").read_text().splitlines()[1:]
            waiting += [
                int(child) for task in (one / "task").iterdir() for child in (task / "children").read_text().split()
            ]
        except (OSError, ProcessLookupError):
            continue  # It has ended.
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        held += 1024 * kilobytes["Pss"]
        mapped += 1024 * kilobytes.get("Pss_File", 0)
    return held, mapped


def make(place: Path, stage: str) -> dict[str, Any]:
    """Makes a step of the cohort in a folder; gives its seconds, without those for opening what it reads."""
    import torch

    from reidbench.choosing import choose_defenses
    from reidbench.cohorts.sources.chestxray14 import ChestXray14
    from reidbench.plugins import Registry
    from reidbench.progress import Silent
    from reidbench.records.ladder import parse_ladder
    from reidbench.settings import make_settings

    dataset = ChestXray14(root=place)
    cache = place / "cache"
    if stage == "pixel store":
        from reidbench.cohorts.load import load_cohort

        shutil.rmtree(cache, ignore_errors=True)
        return seconds_of(lambda: load_cohort(dataset, size=IMAGE_SIZE, cache=cache))
    steps = {f"{name}.{end}_steps": str(number) for name, number in TRAINED.items() for end in ("min", "max")}
    # The shipped weights already know generated patients, and would be kept without any training.
    steps["verification.weights"] = "random"
    registry = Registry()
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=cache,
        attackers=("verification",),
        overrides=steps,
        size=IMAGE_SIZE,
        ladder=parse_ladder(["ignorant/original-released"]),
    )
    if stage == "pairs":
        from reidbench.choosing import dataset_options
        from reidbench.cohorts.load import load_cohort
        from reidbench.harness.experiment import Experiment

        cohort = load_cohort(dataset, size=IMAGE_SIZE, cache=cache)
        return seconds_of(lambda: Experiment(cohort, dataset_options(dataset), settings, Silent()))
    from reidbench.harness.run import plan_run

    out = place / "runs"
    if stage == "page":
        from reidbench.cli.report import write

        records = sorted(out.glob("gaussian_noise-*.json"))
        return seconds_of(lambda: write(records, place / "page.html", [], quiet=True, err=True))
    if stage == "records":
        shutil.rmtree(out, ignore_errors=True)
    planned = plan_run(
        dataset,
        choose_defenses(registry, ["gaussian_noise"]),
        settings,
        seeds=[0],
        out=out,
        strict=False,
        progress=Silent(),
    )
    if stage == "ranking":
        return ranked(planned, cache)
    kinds = _KINDS.get(stage, ("record",))
    wanted = [step for step in planned.plan.to_make() if step.kind in kinds]

    def work() -> None:
        for step in wanted:
            step.make(Silent())

    return {**seconds_of(work), "steps": len(wanted)}


def ranked(planned: Any, cache: Path) -> dict[str, Any]:
    """The ranking alone: every test image searches the release of all others."""
    from reidbench.cohorts.pairing.pairs import pictures_of
    from reidbench.records import figures

    subject = planned.records[-1].subject
    experiment = subject.track
    links = experiment.attack(experiment.settings.attackers[0], experiment.settings.ladder[0], subject.published).read()
    patients, pictures = experiment.patients["test"], pictures_of(experiment.parts["test"].frame)
    return {**seconds_of(lambda: figures.rank_images(links.block, patients, pictures)), "queries": len(patients)}


def seconds_of(work: Callable[[], object]) -> dict[str, Any]:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return {"seconds": round(time.perf_counter() - began, 2)}


if __name__ == "__main__":
    main()
