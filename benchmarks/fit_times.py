"""How long the learned defenses take to fit, at points of your choice: docs/defenses.md.

python benchmarks/fit_times.py cloak identity_blocking latent_synthesis --threads 1
python benchmarks/fit_times.py flow_field:strong --dataset chestxray14 --root ../shared/data/chestxray14-sample

Each is fitted to the train part, as a run does it, in a folder of its own, so that nothing is read from a cache; the
test part is then published, once.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import torch

from reidbench.choosing import choose_dataset, choose_defenses, defense_text
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.fitted import BaseFittedDefense
from reidbench.files import cache_folder
from reidbench.plugins import Registry
from reidbench.progress import Silent
from reidbench.steps.cache import StepCache
from reidbench.steps.releases import Release


def main() -> None:
    """Fits, and prints one row per defense."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("defense", nargs="+")
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    registry = Registry()
    dataset = choose_dataset(registry, arguments.dataset, arguments.root)
    cohort = load_cohort(dataset, size=arguments.size, cache=cache_folder())
    parts = {split: cohort.part(split) for split in ("train", "val", "test")}
    print("| defense | fitted in: s, CPU s | train images | published: s, CPU s | test images |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for chosen in choose_defenses(registry, arguments.defense):
        if not isinstance(chosen.defense, BaseFittedDefense):
            raise SystemExit(f"{chosen.defense.name} learns nothing")
        with tempfile.TemporaryDirectory() as folder:
            published = Release(
                chosen.defense,
                chosen.found,
                parts,
                seed=arguments.seed,
                cache=StepCache(Path(folder)),
                device=torch.device("cpu"),
                progress=Silent(),
            )
            times = [(time.perf_counter(), time.process_time())]
            for work in (published.mechanism, lambda published=published: published.images("test")):
                work()
                times.append((time.perf_counter(), time.process_time()))
        took = [f"{ended[0] - began[0]:.0f}, {ended[1] - began[1]:.0f}" for began, ended in itertools.pairwise(times)]
        sizes = [f"{len(parts[split].frame):,}" for split in ("train", "test")]
        row = [defense_text(chosen.defense), took[0], sizes[0], took[1], sizes[1]]
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
