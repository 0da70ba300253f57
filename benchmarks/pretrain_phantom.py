"""Trains the weights that the quick attackers begin with, on generated patients alone: reidbench/attackers/phantom/.

python benchmarks/pretrain_phantom.py verification --out reidbench/attackers/phantom
python benchmarks/pretrain_phantom.py retrieval --out reidbench/attackers/phantom

The patients are generated from a separate seed, so that no patient of a phantom run's test part is among them, unless
that run sets the same seed. No real image is used for these weights.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import platformdirs
import torch

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.siamese import SiameseAttacker
from reidbench.attackers.verification import Verification
from reidbench.cohorts.base import Dataset
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.images import to_unit

CPU = torch.device("cpu")
SEED = 20_220_926
PATIENTS = 3_000
SIZE = 64
ATTACKERS: dict[str, type[SiameseAttacker]] = {"verification": Verification, "retrieval": Retrieval}


class _Bar:
    """Lines on the way: it takes a quarter of an hour."""

    def task(self, description: str, total: int) -> _Bar:
        self.description, self.total, self.done, self.began = description, total, 0, time.monotonic()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        print(f"{self.description}: {self.done} in {time.monotonic() - self.began:.0f} s", flush=True)

    def __call__(self, count: int) -> None:
        before, self.done = self.done, self.done + count
        if before * 20 // max(self.total, 1) != self.done * 20 // max(self.total, 1):
            print(f"{self.description}: {self.done} of {self.total}", flush=True)

    def say(self, line: str) -> None:
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacker", choices=ATTACKERS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--epochs", type=float, default=30)
    args = parser.parse_args()
    dataset: Dataset = Phantom(seed=SEED, patients=args.patients, val=0.03, test=0)
    cache = Path(platformdirs.user_cache_dir("reidbench"))
    cohort = load_cohort(dataset, size=SIZE, cache=cache, strict=True, progress=_Bar())
    parts = {split: cohort.part(split) for split in ("train", "val")}
    pixels, patients = parts["train"].pixels, parts["train"].frame["patient"].to_numpy()

    def side(index: np.ndarray, *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        return to_unit(pixels[index], device)

    attacker = ATTACKERS[args.attacker](weights="random", epochs=args.epochs)
    scenario = Scenario(patients=patients, probe=side, gallery=side, size=SIZE)
    val = Fixed(parts["val"].frame["patient"].to_numpy(), parts["val"].pixels, parts["val"].pixels)
    with tempfile.TemporaryDirectory() as folder:
        training = attacker.fit(scenario, val, seed=0, device=CPU, work_dir=Path(folder), progress=_Bar())
    attacker.save(args.out / f"{args.attacker}.safetensors")
    aucs = [f"{row['val_auc']:.4f}" for row in training.history if "val_auc" in row]
    print(f"{len(pixels)} images of {len(set(patients.tolist()))} patients, {training.seconds:.0f} s, val AUC {aucs}")


if __name__ == "__main__":
    main()
