"""Trains the diagnostic classifier with hyperparameters of your choice and prints its macro AUC: docs/methodology.md.

python benchmarks/classifier_recipes.py --root ../shared/data/chestxray14-sample
python benchmarks/classifier_recipes.py --root ../shared/data/chestxray14-sample --set mirror=false --set epochs=8 \\
    --set batch_size=64 --set lr=0.003 --set 'augmentation={"rotation": 5, "scale": 0.08, "gamma": 0.2, "contrast": 0.2,
    "brightness": 0.1}'
python benchmarks/classifier_recipes.py --root ../shared/data/chestxray14-sample --part test --seed 0 --seed 1

A recipe is chosen on a sixth of the train patients, held out (``--part dev``), and shown on the test part
(``--part test``). The macro AUC is over the findings that count in a run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from reidbench import metrics
from reidbench.choosing import choose_dataset
from reidbench.cohorts.load import load_cohort
from reidbench.files import cache_folder
from reidbench.plugins import Registry
from reidbench.plugins.options import build
from reidbench.settings import FINDING_PATIENTS
from reidbench.utility.classifier import ClassifierOptions, fit_classifier, predict


def main() -> None:
    """Prints a line of JSON per seed."""
    command = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    command.add_argument("--dataset", default="chestxray14")
    command.add_argument("--root", type=Path)
    command.add_argument("--size", type=int, default=64)
    command.add_argument("--part", choices=("dev", "test"), default="dev")
    command.add_argument("--seed", type=int, action="append")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = command.parse_args()
    options = build("classifier", ClassifierOptions, dict(one.split("=", 1) for one in given.set))

    torch.set_num_threads(1)
    dataset = choose_dataset(Registry(), given.dataset, given.root)
    cohort = load_cohort(dataset, size=given.size, cache=cache_folder())
    train, judged = cohort.rows("train"), cohort.rows("test")
    patients = cohort.frame["patient"].to_numpy()
    if given.part == "dev":
        known = np.unique(patients[train])
        held_out = np.random.default_rng(7).choice(known, len(known) // 6, replace=False)
        dev = np.isin(patients[train], held_out)
        train, judged = train[~dev], train[dev]
    truth = cohort.frame[list(cohort.labels)].to_numpy(dtype=np.float64)
    fewer = [metrics.label_patients(truth[rows], patients[rows]) for rows in (train, judged)]
    counts = np.minimum(*fewer) >= FINDING_PATIENTS

    for seed in given.seed or [0]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            network, training = fit_classifier(
                options, cohort.pixels[train], truth[train], seed=seed, device=torch.device("cpu"),
                work_dir=Path(folder),
            )  # fmt: skip
            spent = time.process_time() - began
        logits = predict(network, cohort.pixels[judged], device=torch.device("cpu"))
        found = metrics.bootstrap_macro_auc_patients(logits, truth[judged], patients[judged], admitted=counts).macro
        told = {"part": given.part, "seed": seed, "findings": int(counts.sum())}
        told |= {"macro_auc": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
        print(json.dumps({**told, "cpu_seconds": round(spent), "images": training.images_seen}), flush=True)


if __name__ == "__main__":
    main()
