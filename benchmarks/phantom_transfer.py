"""Trains an attacker on generated patients alone and prints how well it links real ones: docs/phantom.md.

python benchmarks/phantom_transfer.py --dataset phantom:version=2 --patients 2400 --set epochs=12 --set min_steps=200 \\
    --judge chestxray14 ../shared/data/chestxray14-sample --judge covid19 ../shared/data/covid19

The generator is chosen on the development part of the real train patients (``--part dev``); ``--part test`` is for what
is finished. No real image is trained on. Rows that say "centred" take the mean of the judged images' vectors from each.
Patients of the generated cohort's own test part are judged too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from attacker_recipes import judge, option, parts

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.choosing import choose_dataset
from reidbench.cohorts.base import Cohort, remap
from reidbench.cohorts.load import load_cohort
from reidbench.files import cache_folder
from reidbench.plugins import Registry
from reidbench.steps.releases import ArraySide

#: A random start, since the shipped weights are of another network; neighbourhoods equalized, since grey curves differ
#: from site to site; and images changed more than in a run, since real visits differ in more than generated ones.
RECIPE = {
    "weights": "random",
    "backbone": "resnet_small_32",
    "average": 0.999,
    "classes": "adacos",
    "equalize": "local",
    "augmentation": {
        "rotation": 7,
        "shift": 0.05,
        "scale": 0.1,
        "aspect": 0.05,
        "erase": 0.3,
        "gamma": 0.4,
        "contrast": 0.4,
        "degrade": 0.2,
    },
}


class Centred:
    """An attacker whose vectors of a set of images lose what all of these have in common; it needs no identity."""

    def __init__(self, attacker: Retrieval) -> None:
        self.attacker = attacker
        self.score_block = attacker.score_block

    def embed(self, images: np.ndarray, *, device: torch.device) -> np.ndarray:
        vectors = self.attacker.embed(images, device=device)
        vectors = vectors - vectors.mean(axis=0)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def judged(cohort: Cohort, part: str) -> np.ndarray:
    """Row numbers; of a small dataset, all but the test part are developed on, and all are shown at the end."""
    if len(cohort.rows("train")) > 1_000:
        return parts(cohort, part)[1]
    return (
        np.arange(len(cohort.frame)) if part == "test" else np.concatenate([cohort.rows(p) for p in ("train", "val")])
    )


def main() -> None:
    """Trains once, and prints one row per dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="phantom:version=2", help="generated patients; options after the name")
    parser.add_argument("--patients", type=int, default=1200)
    parser.add_argument("--most", type=int, default=4, help="images of a patient")
    parser.add_argument("--judge", nargs=2, action="append", default=[], metavar=("DATASET", "ROOT"))
    parser.add_argument("--part", choices=("dev", "test"), nargs="+", default=["dev"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], type=option, metavar="NAME=VALUE")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    registry, device = Registry(), torch.device("cpu")

    def load(text: str, root: Path | None) -> Cohort:
        return load_cohort(choose_dataset(registry, text, root), size=given.size, cache=cache_folder())

    # A seed that no run has, so that an attacker of these patients may be used on any.
    options = f"patients={given.patients},images_per_patient={given.most},seed=20260,test=0.05,val=0.05"
    generated = load(f"{given.dataset}{',' if ':' in given.dataset else ':'}{options}", None)
    train, val = generated.part("train"), generated.part("val")
    side = ArraySide((np.asarray(train.pixels),))
    scenario = Scenario(train.frame["patient"].to_numpy(), side, side, given.size)
    fixed = Fixed(val.frame["patient"].to_numpy(), np.asarray(val.pixels), np.asarray(val.pixels))
    attacker = Retrieval(**{**Retrieval.presets["quick"], **RECIPE, **dict(given.set)})
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        training = attacker.fit(scenario, fixed, seed=given.seed, device=device, work_dir=Path(folder))
        cpu = time.process_time() - cpu
    print(
        f"{len(train):,} images of {train.frame['patient'].nunique():,} patients, {training.images_seen:,} seen, "
        f"{cpu:.0f} CPU s"
    )
    print("| judged on | AUC | mAP@R | R-Precision | P@1 |\n| --- | --- | --- | --- | --- |", flush=True)
    tests = {"generated, test": (generated, generated.rows("test"))}
    for name, root in given.judge:
        cohort = load(name, Path(root))
        tests.update({f"{name}, {part}": (cohort, judged(cohort, part)) for part in given.part})
    for where, (cohort, rows) in tests.items():
        patients = remap(cohort.frame["patient_id"].iloc[rows])
        for variant, judged_attacker in (("", attacker), (", centred", Centred(attacker))):
            told = judge(judged_attacker, cohort.pixels[rows], patients, device)
            print(f"| {where}{variant} | {told} |", flush=True)


if __name__ == "__main__":
    main()
