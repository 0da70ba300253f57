"""Trains one attacker with hyperparameters of your choice and prints how well it links patients: docs/attackers.md.

python benchmarks/attacker_recipes.py retrieval --root ../shared/data/chestxray14-sample --set weights=random
python benchmarks/attacker_recipes.py retrieval verification --root ../shared/data/chestxray14-sample --part test \\
    --size 128 --seed 0 --seed 1 --seed 2 --other covid19 --other-root ../shared/data/covid19

A recipe is chosen on a development part, some of the train patients held out (``--part dev``), and shown on
the test part (``--part test``). ``--other`` judges the same attacker on all images of another dataset, of which it has
seen none. Every image asks a query, and all pairs of images are verified.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidbench import metrics
from reidbench.attackers.base import Attacker, Fixed, Scenario
from reidbench.attackers.encoder import Encoder
from reidbench.attackers.plda import LinearPixels
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.verification import Verification
from reidbench.choosing import choose_dataset, choose_defenses
from reidbench.cohorts.base import Cohort, remap
from reidbench.cohorts.load import load_cohort
from reidbench.defenses.release import release
from reidbench.files import cache_folder
from reidbench.plugins import Registry
from reidbench.steps.releases import ArraySide

DEV_PATIENTS = 80
KINDS: dict[str, type[Attacker]] = {cls.name: cls for cls in (Verification, Retrieval, LinearPixels, Encoder)}


def parts(cohort: Cohort, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to judge on."""
    train = cohort.rows("train")
    if part == "test":
        return train, cohort.rows("test")
    owner = cohort.frame["patient"].to_numpy()[train]
    patients, counts = np.unique(owner, return_counts=True)
    # Like ChestX-ray14's test part, which has patients with many images each: drawn by their number of images.
    held_out = np.random.default_rng(5).choice(patients, DEV_PATIENTS, replace=False, p=counts / counts.sum())
    dev = np.isin(owner, held_out)
    return train[~dev], train[dev]


def judge(
    attacker: Attacker,
    pixels: np.ndarray,
    patients: np.ndarray,
    device: torch.device,
    published: np.ndarray | None = None,
) -> str:
    """AUC over all pairs; mAP@R, R-Precision and Precision@1 over all queries that have something to find.

    With ``published``, the same images as a defense publishes them, originals are compared with those.
    """
    vectors = attacker.embed(pixels, device=device)
    there = vectors if published is None else attacker.embed(published, device=device)
    scores = attacker.score_block(vectors, there)
    # Of originals and published images, either may be the held one; no image is compared with itself.
    upper = np.triu_indices(len(patients), 1) if published is None else np.nonzero(~np.eye(len(patients), dtype=bool))
    ids = np.arange(len(patients))
    ranks = metrics.rank_queries(
        lambda rows: scores[rows],
        query_patients=patients,
        gallery_patients=patients,
        query_ids=ids,
        gallery_ids=ids,
    )
    auc = metrics.roc_auc(scores[upper], (patients[:, None] == patients[None])[upper])
    columns = (ranks.average_precision, ranks.r_precision, ranks.precision_at_1)
    return " | ".join(f"{value:.4f}" for value in (auc, *map(np.nanmean, columns)))


def option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is JSON."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    """Trains, and prints one row per attacker, random seed and dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacker", nargs="+", choices=sorted(KINDS))
    parser.add_argument("--dataset", default="chestxray14")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--other", help="a dataset to judge on, too, of which nothing is learned")
    parser.add_argument("--other-root", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--with-phantom", type=int, default=0, metavar="N", help="train on N generated patients, too")
    parser.add_argument(
        "--released",
        action="append",
        default=[],
        metavar="DEFENSE",
        help="judge originals against what a defense publishes, too: gaussian_noise:sigma=0.1",
    )
    parser.add_argument("--part", choices=("dev", "test"), default="dev")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], type=option, metavar="NAME=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    registry, size, device = Registry(), arguments.size, arguments.device

    def load(name: str, root: Path | None) -> Cohort:
        return load_cohort(choose_dataset(registry, name, root), size=size, cache=cache_folder())

    cohort = load(arguments.dataset, arguments.root)
    rows, judged = parts(cohort, arguments.part)
    own = f"{arguments.dataset}, {arguments.part}"
    there, patients = cohort.pixels[judged], cohort.frame["patient"].to_numpy()[judged]
    tests: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = {own: (there, patients, None)}
    for text in arguments.released:
        [chosen] = choose_defenses(registry, [text])
        published = release(chosen.defense, there, cohort.frame["image_id"].iloc[judged].tolist(), patients, seed=0)
        tests[f"{own}, {text}"] = (there, patients, published)
    if arguments.other:
        other = load(arguments.other, arguments.other_root)
        tests[f"{arguments.other}, all"] = (np.asarray(other.pixels), remap(other.frame["patient_id"]), None)
    images, train_patients = cohort.pixels[rows], remap(cohort.frame["patient_id"].iloc[rows])
    if arguments.with_phantom:
        phantom = load(f"phantom:patients={arguments.with_phantom}", None)
        images = np.concatenate([images, phantom.pixels])
        generated = train_patients.max() + 1 + remap(phantom.frame["patient_id"])
        train_patients = np.concatenate([train_patients, generated])
    side = ArraySide((images,))
    train = Scenario(train_patients, side, side, size)
    validation = cohort.rows("val")
    val = Fixed(cohort.frame["patient"].to_numpy()[validation], cohort.pixels[validation], cohort.pixels[validation])
    print("| attacker | seed | judged on | AUC | mAP@R | R-Precision | P@1 | images seen | training: s, CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for seed in arguments.seed or [0]:
        for name in arguments.attacker:
            attacker = KINDS[name](**{**KINDS[name].presets[arguments.preset], **dict(arguments.set)})
            with tempfile.TemporaryDirectory() as folder:
                began, cpu = time.perf_counter(), time.process_time()
                training = attacker.fit(train, val, seed=seed, device=device, work_dir=Path(folder))
                spent = f"{time.perf_counter() - began:.0f}, {time.process_time() - cpu:.0f}"
            for where, (pixels, owners, published) in tests.items():
                figures = judge(attacker, pixels, owners, device, published)
                seen = training.images_seen if training.learned or training.kept_start else "learned nothing"
                print(f"| {name} | {seed} | {where} | {figures} | {seen} | {spent} |", flush=True)


if __name__ == "__main__":
    main()
