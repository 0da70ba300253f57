"""Trains one attacker with hyperparameters of your choice and prints how well it links patients: docs/attackers.md.

python benchmarks/attacker_recipes.py retrieval --root ../shared/data/chestxray14-sample --set epochs=20 --set lr=0.002

A recipe is chosen on a development part, some of the train patients held out (``--part dev``), and shown on
the official test part (``--part test``). Every image asks a query, and all pairs of images are verified.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

from reidbench import metrics
from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.siamese import SiameseAttacker
from reidbench.attackers.verification import Verification
from reidbench.cohorts.base import Cohort, remap
from reidbench.cohorts.chestxray14 import ChestXray14
from reidbench.cohorts.load import load_cohort

CPU = torch.device("cpu")
DEV_PATIENTS = 80


def parts(cohort: Cohort, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to judge on."""
    split = cohort.frame["split"].to_numpy()
    if part == "test":
        return np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    train = np.flatnonzero(split == "train")
    owner = cohort.frame["patient"].to_numpy()[train]
    patients, counts = np.unique(owner, return_counts=True)
    # Like the test part, which has 91 patients with many images each: drawn by their number of images.
    held_out = np.random.default_rng(5).choice(patients, DEV_PATIENTS, replace=False, p=counts / counts.sum())
    dev = np.isin(owner, held_out)
    return train[~dev], train[dev]


def judge(attacker: SiameseAttacker, pixels: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """AUC over all pairs; mAP@R and Precision@1 over all queries that have something to find."""
    vectors = attacker.embed(pixels, device=CPU)
    scores = attacker.score_block(vectors, vectors)
    upper = np.triu_indices(len(patients), 1)
    ids = np.arange(len(patients))
    ranks = metrics.rank_queries(
        lambda rows: scores[rows],
        query_patients=patients,
        gallery_patients=patients,
        query_ids=ids,
        gallery_ids=ids,
    )
    auc = metrics.roc_auc(scores[upper], (patients[:, None] == patients[None])[upper])
    mean = {
        "map_at_r": float(np.nanmean(ranks.average_precision)),
        "precision_at_1": float(np.nanmean(ranks.precision_at_1)),
    }
    return {"auc": auc, **mean}


def option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is JSON."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacker", choices=("verification", "retrieval"))
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--part", choices=("dev", "test"), default="dev")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], type=option, metavar="NAME=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    cache = Path(platformdirs.user_cache_dir("reidbench"))
    cohort = load_cohort(ChestXray14(root=arguments.root), size=arguments.size, cache=cache)
    rows, judged = parts(cohort, arguments.part)
    pixels = cohort.pixels[rows]

    def side(index: np.ndarray, *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(pixels[index]).to(device).unsqueeze(1).float() / 255

    kind = {"verification": Verification, "retrieval": Retrieval}[arguments.attacker]
    chosen = dict(arguments.set)
    attacker = kind(**{**kind.presets[arguments.preset], **chosen})
    train = Scenario(remap(cohort.frame["patient_id"].iloc[rows]), side, side, arguments.size)
    validation = cohort.rows("val")
    val = Fixed(cohort.frame["patient"].to_numpy()[validation], cohort.pixels[validation], cohort.pixels[validation])
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        training = attacker.fit(train, val, seed=arguments.seed, device=CPU, work_dir=Path(folder))
        cpu = time.process_time() - began
    found = judge(attacker, cohort.pixels[judged], cohort.frame["patient"].to_numpy()[judged])
    figures = " ".join(f"{name} {value:.4f}" for name, value in found.items())
    print(
        f"{arguments.attacker} {chosen or ''} part {arguments.part} seed {arguments.seed}: {figures} | "
        f"{training.images_seen} images seen, {cpu:.0f} CPU s, {training.seconds:.0f} s, learned {training.learned}"
    )


if __name__ == "__main__":
    main()
